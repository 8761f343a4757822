"""Turn arrays as a file held them into a data set, or say in one line what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import ImageArrays, LoadedData
from nin_exp.errors import DataError

MAX_CHANNELS = 4


@dataclass(frozen=True)
class RawSplit:
    """Unchecked arrays of one split, with the names a message calls them by.

    Args:
        images_name: such as ``mnist.npz: x_train``.
    """

    images: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    images_name: str
    labels_name: str
    boxes: npt.NDArray[Any] | None = None


def assemble(
    train: RawSplit,
    test: RawSplit,
    class_names: Sequence[str] | None,
    *,
    files: Sequence[Path] = (),
    notes: dict[str, Any] | None = None,
) -> LoadedData:
    """Check both splits and their agreement.

    Args:
        class_names: without them the labels themselves are the names, and each of ``0 … K-1`` must occur.

    Raises:
        DataError: a rule is broken; names the file, the key, the rule, the value and the row.
    """
    if class_names is None:
        class_names = _numbered_classes(train, test)
    _check_class_names(class_names, train.labels_name)
    arrays = [check_split(split, len(class_names)) for split in (train, test)]
    if arrays[0].images.shape[1:] != arrays[1].images.shape[1:]:
        raise DataError(
            f"{test.images_name} must have images of the training shape {_by(arrays[0].images.shape[1:])}, "
            f"got {_by(arrays[1].images.shape[1:])}; resize one of them"
        )
    if len(np.unique(arrays[0].labels)) < 2:
        raise DataError(
            f"{train.labels_name} must hold at least 2 classes, got only class {int(arrays[0].labels[0])}; "
            "give images of another class"
        )
    return LoadedData(arrays[0], arrays[1], tuple(class_names), tuple(files), dict(notes or {}))


def check_split(split: RawSplit, num_classes: int | None) -> ImageArrays:
    """Check one split on its own; ``num_classes`` None leaves the upper bound of labels open.

    Raises:
        DataError: as ``assemble``.
    """
    images = _checked_images(split)
    labels = _checked_labels(split, len(images))
    if num_classes is not None and labels.max() >= num_classes:
        row = int(np.argmax(labels >= num_classes))
        raise DataError(
            f"{split.labels_name} must lie in 0…{num_classes - 1} ({num_classes} classes), "
            f"got {int(labels[row])} in row {row}; correct the label or the class names"
        )
    boxes = None if split.boxes is None else _checked_boxes(split, images.shape)
    return ImageArrays(images, labels, boxes)


def _checked_images(split: RawSplit) -> npt.NDArray[np.uint8]:
    images, name = split.images, split.images_name
    if images.dtype != np.uint8:
        raise DataError(f"{name} must be uint8, got {images.dtype}; store grey levels 0…255 as uint8")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not 1 <= images.shape[3] <= MAX_CHANNELS:
        raise DataError(
            f"{name} must be N x H x W or N x H x W x C with at most {MAX_CHANNELS} channels last, "
            f"got {_by(split.images.shape)}; transpose it"
        )
    if 0 in images.shape:
        raise DataError(f"{name} must hold at least one image of at least 1x1 pixels, got {_by(split.images.shape)}")
    return np.ascontiguousarray(images)


def _checked_labels(split: RawSplit, num_images: int) -> npt.NDArray[np.int64]:
    labels, name = split.labels, split.labels_name
    if labels.ndim != 1:
        raise DataError(
            f"{name} must be one label an image, shape ({num_images},), got {_by(labels.shape)}; flatten it"
        )
    if len(labels) != num_images:
        raise DataError(f"{name} must hold one label for each of the {num_images} images, got {len(labels)} labels")
    if labels.dtype.kind not in "iu":
        row = _first_not_integer(labels)
        raise DataError(
            f"{name} must be integers, got {labels.dtype} ({labels[row]} in row {row}); store class numbers"
        )
    wrong = labels < 0 if labels.dtype.kind == "i" else labels > np.iinfo(np.int64).max
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{name} must be 0 or more, got {int(labels[row])} in row {row}; correct or remove that image")
    return labels.astype(np.int64)


def _first_not_integer(labels: npt.NDArray[Any]) -> int:
    """The row that shows best what is wrong: the first that is no whole number, else the first."""
    if labels.dtype.kind != "f":
        return 0
    return int(np.argmax(~(np.isfinite(labels) & (labels == np.round(labels)))))


def _checked_boxes(split: RawSplit, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    boxes = split.boxes
    assert boxes is not None
    name = f"the boxes of {split.images_name}"
    if boxes.shape != (shape[0], 4) or boxes.dtype.kind not in "iu":
        raise DataError(f"{name} must be integers of shape ({shape[0]}, 4), got {boxes.dtype} {_by(boxes.shape)}")
    left, top, right, bottom = boxes.astype(np.int64).T
    inside = (left >= 0) & (top >= 0) & (left < right) & (top < bottom) & (right <= shape[2]) & (bottom <= shape[1])
    if not inside.all():
        row = int(np.argmin(inside))
        raise DataError(
            f"{name} must be left, top, right, bottom inside {shape[2]}x{shape[1]} pixels, "
            f"got {boxes[row].tolist()} in row {row}"
        )
    return boxes.astype(np.int64)


def _numbered_classes(train: RawSplit, test: RawSplit) -> tuple[str, ...]:
    """Names "0" … "K-1" for labels without names.

    One stray label, such as 255 for "unknown", must not make 256 classes: every number has to occur.
    """
    parts = [check_split(split, None).labels for split in (train, test)]
    present = np.unique(np.concatenate(parts))
    expected = np.arange(len(present))
    if not np.array_equal(present, expected):
        missing = int(expected[np.argmax(present != expected)])
        raise DataError(
            f"{train.labels_name} must number the classes 0…K-1 without a gap, "
            f"got no label {missing} but {int(present[-1])}; renumber, or give class_names"
        )
    return tuple(str(number) for number in expected)


def _check_class_names(class_names: Sequence[str], where: str) -> None:
    file = where.rpartition(": ")[0] or where
    if any(not name for name in class_names):
        raise DataError(f"{file}: class_names must not be empty, got '' in row {list(class_names).index('')}")
    if len(set(class_names)) != len(class_names):
        twice = next(name for name in class_names if list(class_names).count(name) > 1)
        raise DataError(f"{file}: class_names must differ from each other, got {twice!r} twice")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "a single number"
