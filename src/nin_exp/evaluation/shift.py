"""How much a translation of the test images changes the answers (Azulay & Weiss 2019, arXiv 1805.12177)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import ImageArrays
from nin_exp.evaluation.predictor import Predict

MAX_SHIFT = 8
"""Pixels; on images below 24 pixels a third of the side, so that most of what they show stays in the image."""
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))


def shift_images(images: npt.NDArray[np.uint8], dx: int, dy: int) -> npt.NDArray[np.uint8]:
    """Move images right by ``dx`` and down by ``dy`` pixels; what comes in repeats the edge.

    Args:
        images: ``(N, H, W, C)``.
    """
    height, width = images.shape[1:3]
    rows = np.clip(np.arange(height) - dy, 0, height - 1)
    columns = np.clip(np.arange(width) - dx, 0, width - 1)
    return images[:, rows][:, :, columns]


def shift_curve(predict: Predict, arrays: ImageArrays) -> dict[str, Any]:
    """Accuracy and consistency by distance, each the mean over left, right, up and down.

    Returns:
        ``pixels`` 0, 1, …; ``acc``; ``consistency``: share of images with the answer of the unshifted one
        (Zhang 2019, arXiv 1904.11486, section 4).
    """
    height, width = arrays.images.shape[1:3]
    distances = range(min(MAX_SHIFT, min(height, width) // 3) + 1)
    still = predict(arrays).logits.argmax(1).numpy()
    accuracies, consistencies = [], []
    for distance in distances:
        answers = [still] if distance == 0 else [_shifted(predict, arrays, distance, d) for d in _DIRECTIONS]
        accuracies.append(float(np.mean([(a == arrays.labels).mean() for a in answers])))
        consistencies.append(float(np.mean([(a == still).mean() for a in answers])))
    return {"pixels": list(distances), "acc": accuracies, "consistency": consistencies}


def _shifted(predict: Predict, arrays: ImageArrays, distance: int, direction: tuple[int, int]) -> npt.NDArray[np.int64]:
    across, down = direction
    moved = shift_images(arrays.images, across * distance, down * distance)
    answers: npt.NDArray[np.int64] = predict(ImageArrays(moved, arrays.labels)).logits.argmax(1).numpy()
    return answers


def shift_metrics(curve: dict[str, Any]) -> dict[str, float]:
    """``test/shift_acc`` and ``test/shift_consistency``: means over all distances from 1; ``test/shift4_acc``."""
    if len(curve["pixels"]) < 2:
        return {}
    found = {
        "test/shift_acc": float(np.mean(curve["acc"][1:])),
        "test/shift_consistency": float(np.mean(curve["consistency"][1:])),
    }
    if 4 in curve["pixels"]:
        found["test/shift4_acc"] = curve["acc"][4]
    return found
