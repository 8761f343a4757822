"""Stratified splits that are the same on every machine and with every version of NumPy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nin_exp.errors import ConfigError, DataError

Labels = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int64]
_VAL_STREAM, _SUBSET_STREAM, _PARTITION_STREAM = 0, 1, 2


def train_val_split(labels: Labels, val_fraction: float, split_seed: int) -> tuple[Indices, Indices]:
    """Cut a validation split, of each class its share.

    Every class with at least 2 images stands in both parts; one with a single image is trained on.

    Args:
        labels: int64 ``(N,)``.
        val_fraction: in (0, 1).

    Returns:
        Positions of the training and of the validation images, each ascending.

    Raises:
        DataError: no class has 2 images.
    """
    groups = _groups(labels)
    counts = np.array([len(rows) for rows in groups])
    if not (counts >= 2).any():
        raise DataError(
            f"validation needs a class with at least 2 training images, got {len(labels)} images of as many classes"
        )
    least = (counts >= 2).astype(np.int64)
    sizes = allocate(counts, round(val_fraction * len(labels)), least, np.maximum(counts - 1, 0))
    val = _first_by_key(groups, _keys(len(labels), split_seed, _VAL_STREAM), sizes)
    is_val = np.zeros(len(labels), dtype=bool)
    is_val[val] = True
    return np.flatnonzero(~is_val), np.flatnonzero(is_val)


def stratified_subset(labels: Labels, size: int, seed: int) -> Indices:
    """Positions (ascending) of ``size`` images, of each class its share and at least one; all when there are fewer.

    With one seed, a smaller subset is a part of every larger one.

    Raises:
        ConfigError: the size is smaller than the number of classes.
    """
    if size >= len(labels):
        return np.arange(len(labels), dtype=np.int64)
    groups = _groups(labels)
    if size < len(groups):
        raise ConfigError(
            f"dataset.train_limit and dataset.train_fraction must leave at least the {len(groups)} classes, "
            f"got {size} images; raise them"
        )
    keys = _keys(len(labels), seed, _SUBSET_STREAM)
    # Images come in one order, of which the first are taken: of a class with n images the j-th at (j + 1/2) / n, the
    # first of each class before all others. Largest remainders would not do: a class may lose where the whole grows.
    place = np.empty(len(labels))
    for rows in groups:
        place[rows[np.argsort(keys[rows], kind="stable")]] = (np.arange(len(rows)) + 0.5) / len(rows)
        place[rows[np.argmin(keys[rows])]] = -1
    return np.sort(np.argsort(place, kind="stable")[:size])


def partition(labels: Labels, fractions: Sequence[float], seed: int) -> Indices:
    """Which part each image belongs to, int64 ``(N,)``: of each class, the parts take their shares at random.

    A class with as many images as there are parts stands in each of them; of a smaller one the first parts have one.

    Args:
        fractions: of the parts, each positive, summing to 1.
    """
    keys = _keys(len(labels), seed, _PARTITION_STREAM)
    shares = np.round(np.asarray(fractions) * 1_000_000).astype(np.int64)
    parts = np.zeros(len(labels), dtype=np.int64)
    for rows in _groups(labels):
        least = (np.arange(len(shares)) < len(rows)).astype(np.int64)
        sizes = allocate(shares, len(rows), least, np.full(len(shares), len(rows)))
        parts[rows[np.argsort(keys[rows], kind="stable")]] = np.repeat(np.arange(len(shares)), sizes)
    return parts


def hashed_test_split(keys: Sequence[bytes], labels: Labels, test_fraction: float) -> npt.NDArray[np.bool_]:
    """Which images are test: in each class those whose keys have the smallest SHA-256.

    No seed moves it. Equal keys stay together where a class has others, so that copies of an image do not stand on
    both sides. A class with one image has no test image.

    Args:
        keys: what is hashed for each image, such as its file name.
        test_fraction: in (0, 1), of each class.
    """
    digests = np.frombuffer(b"".join(hashlib.sha256(key).digest()[:8] for key in keys), dtype=">u8")
    groups = _groups(labels)
    counts = np.array([len(rows) for rows in groups])
    sizes = allocate(
        counts, round(test_fraction * len(labels)), (counts >= 2).astype(np.int64), np.maximum(counts - 1, 0)
    )
    is_test = np.zeros(len(labels), dtype=bool)
    for rows, size in zip(groups, sizes, strict=True):
        if size == 0:
            continue
        ordered = rows[np.argsort(digests[rows], kind="stable")]
        together = rows[digests[rows] <= digests[ordered[size - 1]]]
        is_test[together if len(together) < len(rows) else ordered[:size]] = True
    return is_test


def allocate(
    counts: npt.NDArray[np.int64], total: int, least: npt.NDArray[np.int64], most: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Divide ``total`` in proportion to ``counts``, within bounds: largest remainders, ties to the first.

    The result sums to ``total`` clipped to what the bounds allow.

    >>> allocate(np.array([50, 30, 21]), 10, np.array([1, 1, 1]), np.array([49, 29, 20])).tolist()
    [5, 3, 2]
    """
    total = int(np.clip(total, least.sum(), most.sum()))
    exact = counts * (total / counts.sum())
    sizes: npt.NDArray[np.int64] = np.clip(np.floor(exact).astype(np.int64), least, most)
    while sizes.sum() != total:
        missing = total - int(sizes.sum())
        step = 1 if missing > 0 else -1
        movable = sizes < most if step > 0 else sizes > least
        urgency = np.where(movable, (exact - sizes) * step, -np.inf)
        chosen = np.argsort(-urgency, kind="stable")[: min(abs(missing), int(movable.sum()))]
        sizes[chosen] += step
    return sizes


def _groups(labels: Labels) -> list[Indices]:
    """The positions of each class that occurs, by class number."""
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    return np.split(order, starts[1:])


def _keys(count: int, seed: int, stream: int) -> npt.NDArray[np.uint64]:
    """Random 64-bit keys. The raw stream of PCG64 is fixed for good; that of Generator.permutation may change."""
    return np.random.PCG64([stream, seed]).random_raw(count)


def _first_by_key(groups: list[Indices], keys: npt.NDArray[np.uint64], sizes: npt.NDArray[np.int64]) -> Indices:
    chosen = [rows[np.argsort(keys[rows], kind="stable")[:size]] for rows, size in zip(groups, sizes, strict=True)]
    return np.concatenate(chosen)
