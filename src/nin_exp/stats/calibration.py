"""Reliability: how often a network is right where it says it is so sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUM_BINS = 15
"""As in Guo et al. (2017), and in the recorded expected calibration error."""


@dataclass(frozen=True)
class Reliability:
    """Bins of confidence, those with an example alone; each array of shape ``(M,)``.

    Args:
        confidence: mean confidence of a bin. accuracy: share of its examples that are right.
        counts: its examples.
        ece: mean gap between the two, weighted by the counts.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]
    ece: float


def reliability(confidence: ArrayLike, correct: ArrayLike, num_bins: int) -> Reliability:
    """Bin predictions by confidence, into equal bins (lower, upper].

    Args:
        confidence: of the predicted class, in [0, 1], shape ``(N,)``.
        correct: whether the prediction is right, shape ``(N,)``.

    >>> reliability([0.9, 0.95, 0.6, 0.55], [1, 1, 1, 0], num_bins=2).accuracy.tolist()
    [0.75]
    """
    sure, hits = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if sure.shape != hits.shape or sure.ndim != 1 or sure.size == 0:
        raise ValueError(f"confidence and correct must be one row each, got shapes {sure.shape} and {hits.shape}")
    bins = np.clip(np.ceil(sure * num_bins).astype(np.int64), 1, num_bins) - 1
    counts = np.bincount(bins, minlength=num_bins)
    kept = counts > 0
    mean = np.bincount(bins, sure, num_bins)[kept] / counts[kept]
    accuracy = np.bincount(bins, hits, num_bins)[kept] / counts[kept]
    ece = float((np.abs(mean - accuracy) * counts[kept]).sum() / sure.size)
    return Reliability(mean, accuracy, counts[kept], ece)
