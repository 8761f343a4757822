"""Normalisation of each channel by fixed numbers: standardisation, /255 - 0.5, /127.5 - 1, /255."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import Preprocessing

ChannelKind = Literal["standardize", "centered", "signed", "unit"]
_FIXED = {"centered": (0.5, 1.0), "signed": (0.5, 0.5), "unit": (0.0, 1.0)}  # mean and deviation of image / 255
_CHUNK = 1024


@dataclass(frozen=True)
class ChannelNormalization(Preprocessing):
    """``(image / 255 - mean) / std``. The only preprocessing that may as well be done after augmentation.

    Args:
        kind: where the numbers come from.
        mean: of each channel, on the scale of ``image / 255``.
        std: as ``mean``.
    """

    kind: ChannelKind
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def scale(self) -> npt.NDArray[np.float32]:
        """What a level is multiplied by, ``(C,)``; from double precision, since all is one product and one sum."""
        return (1 / (255 * np.array(self.std, dtype=np.float64))).astype(np.float32)

    @property
    def shift(self) -> npt.NDArray[np.float32]:
        """What is added then, ``(C,)``."""
        return (-np.array(self.mean, dtype=np.float64) / np.array(self.std, dtype=np.float64)).astype(np.float32)

    def apply(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See ``Preprocessing``."""
        prepared = images.astype(np.float32)
        prepared *= self.scale
        prepared += self.shift
        return prepared

    def settings(self) -> dict[str, Any]:
        """See ``Preprocessing``."""
        return {"kind": self.kind, "mean": list(self.mean), "std": list(self.std)}


def fit_channels(images: npt.NDArray[np.uint8], kind: ChannelKind) -> ChannelNormalization:
    """Mean and deviation of each channel of the training images, or the fixed ones.

    A channel that is the same everywhere has deviation 0 and is divided by 1. Sums are integers: exact, and the same
    in whatever order the images come.

    Args:
        images: uint8 ``(N, H, W, C)``.
    """
    channels = images.shape[3]
    if kind in _FIXED:
        mean, deviation = _FIXED[kind]
        return ChannelNormalization(kind, (mean,) * channels, (deviation,) * channels)
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(images), _CHUNK):
        for channel in range(channels):
            counts[channel] += np.bincount(images[start : start + _CHUNK, :, :, channel].ravel(), minlength=256)
    levels = np.arange(256, dtype=np.int64)
    total = counts.sum(axis=1)
    means, squares = counts @ levels / total, counts @ levels**2 / total
    deviations = np.sqrt(np.maximum(squares - means**2, 0.0))
    deviations[deviations < 1e-6] = 255.0
    return ChannelNormalization(kind, tuple(float(m) / 255 for m in means), tuple(float(d) / 255 for d in deviations))
