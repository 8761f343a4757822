"""From a data source to what training takes: splits cut, resized, and the numbers that normalise them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import DataSource, ImageArrays, ImageSpec, LoadedData, Preprocess
from nin_exp.data.fingerprint import fingerprint
from nin_exp.data.resize import resize_arrays
from nin_exp.data.splits import stratified_subset, train_val_split

_CHUNK = 1024


@dataclass(frozen=True)
class PreparedData:
    """A data set, ready to train on.

    Args:
        mean: of each channel, on the scale of ``image / 255``; a network sees ``(image / 255 - mean) / std``.
        std: as ``mean``; both as ``preprocess`` says, from the training split alone.
        train_indices: positions of the training images among the images the source gave for training.
        val_indices: the same for validation.
        fingerprint: of the whole data set as it was read, before splitting and resizing.
        files: what was read; empty when embedded.
        chance: share of the most frequent test class, the accuracy of always naming it.
    """

    train: ImageArrays
    val: ImageArrays
    test: ImageArrays
    class_names: tuple[str, ...]
    image_spec: ImageSpec
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_indices: npt.NDArray[np.int64]
    val_indices: npt.NDArray[np.int64]
    fingerprint: str
    files: tuple[Path, ...]
    notes: dict[str, Any]
    chance: float

    @property
    def num_classes(self) -> int:
        """Number of classes, those without an image included."""
        return len(self.class_names)


def prepare(source: DataSource, data_dir: Path, split_seed: int) -> PreparedData:
    """Load, cut validation from the training images, limit, resize, and measure mean and deviation.

    Args:
        split_seed: moves training and validation images; the test split never depends on it.

    Raises:
        DataError: the data are missing, unreadable or inconsistent, or too few for a validation split.
        ConfigError: ``train_limit`` is smaller than the number of classes.
    """
    loaded = source.load(data_dir)
    return prepare_loaded(source, loaded, split_seed)


def prepare_loaded(source: DataSource, loaded: LoadedData, split_seed: int) -> PreparedData:
    """As ``prepare``, from data that are in memory already."""
    train_indices, val_indices = train_val_split(loaded.train.labels, source.val_fraction, split_seed)
    if source.train_limit is not None:
        kept = stratified_subset(loaded.train.labels[train_indices], source.train_limit, split_seed)
        train_indices = train_indices[kept]
    splits = [_take(loaded.train, train_indices), _take(loaded.train, val_indices), loaded.test]
    if source.image_size is not None:
        splits = [resize_arrays(split, source.image_size) for split in splits]
    train, val, test = splits
    _, height, width, channels = train.images.shape
    mean, std = normalisation(train.images, source.preprocess)
    return PreparedData(
        train=train,
        val=val,
        test=test,
        class_names=loaded.class_names,
        image_spec=ImageSpec(channels, height, width),
        mean=mean,
        std=std,
        train_indices=train_indices,
        val_indices=val_indices,
        fingerprint=fingerprint(loaded),
        files=loaded.files,
        notes=loaded.notes,
        chance=float(np.bincount(test.labels).max() / len(test)),
    )


def normalisation(images: npt.NDArray[np.uint8], preprocess: Preprocess) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, on the scale of ``image / 255``.

    A channel that is the same everywhere has deviation 0 and is divided by 1. Sums are integers: exact, and the same
    in whatever order the images come.

    Args:
        images: uint8 ``(N, H, W, C)``.
    """
    channels = images.shape[3]
    if preprocess == "unit":
        return (0.0,) * channels, (1.0,) * channels
    if preprocess == "centered":
        return (0.5,) * channels, (1.0,) * channels
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(images), _CHUNK):
        for channel in range(channels):
            counts[channel] += np.bincount(images[start : start + _CHUNK, :, :, channel].ravel(), minlength=256)
    levels = np.arange(256, dtype=np.int64)
    total = counts.sum(axis=1)
    means, squares = counts @ levels / total, counts @ levels**2 / total
    deviations = np.sqrt(np.maximum(squares - means**2, 0.0))
    deviations[deviations < 1e-6] = 255.0
    return tuple(float(m) / 255 for m in means), tuple(float(d) / 255 for d in deviations)


def _take(arrays: ImageArrays, rows: npt.NDArray[np.int64]) -> ImageArrays:
    return ImageArrays(arrays.images[rows], arrays.labels[rows], None if arrays.boxes is None else arrays.boxes[rows])
