"""How images lie in memory.

Every layer takes and gives ``(N, C, H, W)``, the shape that torch uses. Convolution and pooling lay their
results out with the channels innermost, ``N, H, W, C``, and hand them on as a transposed view: a 1x1
convolution is then one matrix product without a copy, and a pooling window reads contiguous channels.
Elementwise layers keep whatever layout they are given.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def channels_last(images: Array) -> Array:
    """View ``(N, C, H, W)`` as contiguous ``(N, H, W, C)``; copies only when it does not lie so already."""
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def channels_first(images: Array) -> Array:
    """View ``(N, H, W, C)`` as ``(N, C, H, W)``, without a copy."""
    return images.transpose(0, 3, 1, 2)


def random_like(x: Array, rng: np.random.Generator) -> Array:
    """Uniform float32 values of [0, 1) in the shape and the memory layout of ``x``."""
    axes = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
    values = rng.random([x.shape[axis] for axis in axes], dtype=np.float32)
    return values.transpose(np.argsort(axes))


def values_per_image(batch: Array) -> int:
    """Number of values that one image has; also of an empty batch."""
    return math.prod(batch.shape[1:])
