"""What a run said of each example, from ``predictions.npz``."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PREDICTIONS_FILE = "predictions.npz"
LARGEST_BYTES = 1 << 30
"""Unpacked; a small archive can claim to hold any number of zeros."""


@dataclass(frozen=True)
class RunPredictions:
    """Answers of one run, in the split's order, which all runs of a data set share.

    Args:
        labels: true classes, int64 ``(N,)``.
        predicted: int32 ``(N,)``.
        confidence: probability of the predicted class, float32 ``(N,)``.
    """

    labels: NDArray[np.int64]
    predicted: NDArray[np.int32]
    confidence: NDArray[np.float32]


def read_predictions(run_dir: Path, split: str) -> RunPredictions | None:
    """Read a split's predictions; None where there are none, or none that can be used."""
    arrays = read_arrays(run_dir / PREDICTIONS_FILE, (f"{split}_logits", f"{split}_labels"))
    if arrays is None:
        return None
    logits, labels = arrays
    is_table = logits.ndim == 2 and logits.shape[1] >= 2 and labels.shape == logits.shape[:1] and len(labels) >= 2
    if not is_table or logits.dtype.kind != "f" or labels.dtype.kind not in "iu" or not np.isfinite(logits).all():
        return None
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        return None
    highest = logits.max(axis=1, keepdims=True)
    confidence = 1 / np.exp(logits - highest, dtype=np.float32).sum(axis=1)
    return RunPredictions(labels.astype(np.int64), logits.argmax(axis=1).astype(np.int32), confidence)


def read_arrays(path: Path, names: tuple[str, ...]) -> tuple[NDArray[np.generic], ...] | None:
    """Arrays of an ``.npz``; None where it is missing, damaged, too large, or lacks one of them. Unpickles nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_BYTES:
                return None
        with np.load(path, allow_pickle=False) as loaded:
            return tuple(np.asarray(loaded[name]) for name in names)
    except (OSError, ValueError, KeyError, EOFError, MemoryError, NotImplementedError, zipfile.BadZipFile):
        return None
