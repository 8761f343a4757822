"""From a data source to what training takes: splits cut and resized, and how images are prepared for a network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import DataSource, ImageArrays, ImageSpec, LoadedData, Preprocessing
from nin_exp.data.fingerprint import fingerprint
from nin_exp.data.preprocess.fitted import LazyFit
from nin_exp.data.resize import resize_arrays
from nin_exp.data.splits import stratified_subset, train_val_split


@dataclass(frozen=True)
class PreparedData:
    """A data set, ready to train on: levels, and how they become what a network sees.

    Args:
        fit: fits the preprocessing on the training split alone, when it is first asked for: who looks at shapes and
            classes only does not wait for it.
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
    fit: LazyFit
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

    @property
    def preprocessing(self) -> Preprocessing:
        """What prepares every image.

        Raises:
            ConfigError: the images are too large for ``gcn_zca``.
        """
        return self.fit.result.preprocessing


def prepare(source: DataSource, data_dir: Path, split_seed: int) -> PreparedData:
    """Load, cut validation from the training images, limit, and resize.

    Args:
        split_seed: moves training and validation images; the test split never depends on it.

    Raises:
        DataError: the data are missing, unreadable or inconsistent, or too few for a validation split.
        ConfigError: ``train_fraction`` or ``train_limit`` leaves fewer images than classes.
    """
    return prepare_loaded(source, source.load(data_dir), data_dir, split_seed)


def prepare_loaded(source: DataSource, loaded: LoadedData, data_dir: Path, split_seed: int) -> PreparedData:
    """As ``prepare``, from data that are in memory already."""
    train_indices, val_indices = train_val_split(loaded.train.labels, source.val_fraction, split_seed)
    size = round(source.train_fraction * len(train_indices))
    if source.train_limit is not None:
        size = min(size, source.train_limit)
    if size < len(train_indices):
        train_indices = train_indices[stratified_subset(loaded.train.labels[train_indices], size, split_seed)]
    splits = [_take(loaded.train, train_indices), _take(loaded.train, val_indices), loaded.test]
    if source.image_size is not None:
        splits = [resize_arrays(split, source.image_size) for split in splits]
    train, val, test = splits
    _, height, width, channels = train.images.shape
    image_spec = ImageSpec(channels, height, width)
    data_fingerprint = fingerprint(loaded)
    key = hashlib.sha256(f"{data_fingerprint} {image_spec} ".encode() + train_indices.astype("<i8").tobytes())
    return PreparedData(
        train=train,
        val=val,
        test=test,
        class_names=loaded.class_names,
        image_spec=image_spec,
        fit=LazyFit(source.preprocess, train.images, data_dir, key.hexdigest()),
        train_indices=train_indices,
        val_indices=val_indices,
        fingerprint=data_fingerprint,
        files=loaded.files,
        notes=loaded.notes,
        chance=float(np.bincount(test.labels).max() / len(test)),
    )


def _take(arrays: ImageArrays, rows: npt.NDArray[np.int64]) -> ImageArrays:
    return ImageArrays(arrays.images[rows], arrays.labels[rows], None if arrays.boxes is None else arrays.boxes[rows])
