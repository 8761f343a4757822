"""Common corruptions of the test images (Hendrycks & Dietterich 2019, arXiv 1903.12261).

Noise, blur and contrast with the strengths of severities 1, 3 and 5 of CIFAR-10-C (the authors' make_cifar_c.py), for
images of every size; each image has noise of its own, drawn from its position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from nin_exp.contracts.data import ImageArrays
from nin_exp.evaluation.predictor import Predict

SEVERITIES = (1, 3, 5)
STRENGTHS = {
    "gaussian_noise": (0.04, 0.08, 0.10),
    "gaussian_blur": (0.4, 0.7, 1.0),
    "contrast": (0.75, 0.4, 0.15),
}
"""Deviation of the noise (of images in [0, 1]); deviation of the blur in pixels; factor on the contrast."""

_CHUNK = 500


def gaussian_noise(images: Tensor, positions: npt.NDArray[np.int64], deviation: float) -> Tensor:
    """Add noise that belongs to each position, whatever images stand beside it; the same at every severity.

    Args:
        images: ``(N, C, H, W)`` in [0, 1].
        positions: of the images in their split, ``(N,)``.
    """
    noise = [torch.randn(images.shape[1:], generator=_generator(int(position))) for position in positions]
    return images + deviation * torch.stack(noise)


def gaussian_blur(images: Tensor, positions: npt.NDArray[np.int64], deviation: float) -> Tensor:
    """Blur by a Gaussian cut at four deviations; edges are repeated."""
    radius = max(1, round(4 * deviation))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel /= kernel.sum()
    channels = images.shape[1]
    across = kernel.expand(channels, 1, 1, -1)
    padded = functional.pad(images, (radius,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(padded, across, groups=channels), across.mT, groups=channels)


def contrast(images: Tensor, positions: npt.NDArray[np.int64], factor: float) -> Tensor:
    """Draw each channel of each image towards its own mean."""
    means = images.mean((2, 3), keepdim=True)
    return (images - means) * factor + means


_CORRUPTIONS: dict[str, Callable[[Tensor, npt.NDArray[np.int64], float], Tensor]] = {
    "gaussian_noise": gaussian_noise,
    "gaussian_blur": gaussian_blur,
    "contrast": contrast,
}


def corrupt(
    images: npt.NDArray[np.uint8], positions: npt.NDArray[np.int64], name: str, severity: int
) -> npt.NDArray[np.uint8]:
    """Corrupt images ``(N, H, W, C)``; ``severity`` is one of SEVERITIES."""
    strength = STRENGTHS[name][SEVERITIES.index(severity)]
    result = np.empty_like(images)
    for start in range(0, len(images), _CHUNK):
        rows = slice(start, start + _CHUNK)
        values = torch.from_numpy(images[rows].astype(np.float32) / 255).permute(0, 3, 1, 2)
        changed = _CORRUPTIONS[name](values, positions[rows], strength).clamp(0, 1)
        result[rows] = (changed * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return result


def corruption_curves(
    predict: Predict, arrays: ImageArrays, positions: npt.NDArray[np.int64]
) -> dict[str, dict[str, Any]]:
    """Accuracy under each corruption, by severity."""
    curves = {}
    for name in STRENGTHS:
        accuracies = []
        for severity in SEVERITIES:
            changed = ImageArrays(corrupt(arrays.images, positions, name, severity), arrays.labels)
            answers = predict(changed).logits.argmax(1).numpy()
            accuracies.append(float((answers == arrays.labels).mean()))
        curves[name] = {"severity": list(SEVERITIES), "acc": accuracies}
    return curves


def corruption_metrics(curves: dict[str, dict[str, Any]]) -> dict[str, float]:
    """``test/corrupted_acc``: the mean over corruptions and severities."""
    return {"test/corrupted_acc": float(np.mean([curve["acc"] for curve in curves.values()]))}


def _generator(position: int) -> torch.Generator:
    digest = hashlib.sha256(f"noise/{position}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
