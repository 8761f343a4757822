"""Global contrast normalisation of single images.

As pylearn2's ``global_contrast_normalize`` with the settings that Maxout (Goodfellow et al. 2013, arXiv 1302.4389,
section 5.2) and, after it, Network in Network use for CIFAR: scale 55, the vector norm and no bias in the root.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import Preprocessing

# Double precision of a chunk is what is held beside the result: 25 MB for images of 32x32x3.
CHUNK_VALUES = 1 << 21
PAPER_SCALE, PAPER_MIN_DIVISOR = 55.0, 1e-8


@dataclass(frozen=True)
class GlobalContrast(Preprocessing):
    """Each image has its mean, over pixels and channels, subtracted, and is then scaled to one norm.

    Args:
        scale: the Euclidean norm of a prepared image.
        min_divisor: where norm / scale is smaller the image is not divided: an image of one colour becomes zeros.
    """

    scale: float
    min_divisor: float

    def apply(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See ``Preprocessing``."""
        prepared = np.empty(images.shape, dtype=np.float32)
        for rows in chunks(images.shape):
            prepared[rows] = self.in_double_precision(images[rows]).reshape(images[rows].shape)
        return prepared

    def in_double_precision(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """As ``apply``, but float64 ``(N, H * W * C)``."""
        values = images.reshape(len(images), -1).astype(np.float64)
        values -= values.mean(axis=1, keepdims=True)
        divisors = np.sqrt((values**2).sum(axis=1)) / self.scale
        divisors[divisors < self.min_divisor] = 1.0
        values /= divisors[:, None]
        return values

    def settings(self) -> dict[str, Any]:
        """See ``Preprocessing``."""
        return {"kind": "gcn", "scale": self.scale, "min_divisor": self.min_divisor}


def chunks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows whose values, in double precision, take little memory."""
    size = max(1, CHUNK_VALUES // max(1, int(np.prod(shape[1:]))))
    for start in range(0, shape[0], size):
        yield slice(start, start + size)
