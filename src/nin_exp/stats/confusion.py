"""Which classes are taken for which."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def confusion(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Count predictions by true class (rows) and predicted class (columns), shape ``(K, K)``.

    Args:
        labels, predicted: classes in [0, K), shape ``(N,)``.

    >>> confusion([0, 0, 1], [0, 1, 1], num_classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    true, said = np.asarray(labels, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if true.shape != said.shape or not (_is_inside(true, num_classes) and _is_inside(said, num_classes)):
        raise ValueError(f"labels and predictions must be classes in [0, {num_classes}), one each an example")
    return np.bincount(true * num_classes + said, minlength=num_classes**2).reshape(num_classes, num_classes)


def rates(counts: ArrayLike) -> NDArray[np.float64]:
    """Shares of each true class, shape ``(K, K)``; rows sum to 1, those of a class without examples are NaN."""
    table = np.asarray(counts, dtype=np.float64)
    size = table.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(table, size, out=np.full_like(table, np.nan), where=size > 0)
    return shares


def _is_inside(classes: NDArray[np.int64], num_classes: int) -> bool:
    return classes.size == 0 or bool(classes.min() >= 0 and classes.max() < num_classes)
