"""How images lie in memory.

Every layer takes and gives ``(N, C, H, W)``, the shape that torch uses. What differs is the order in memory, and
results are handed on as transposed views. Most layers lay them out with the channels innermost, ``N, H, W, C``: a
1x1 convolution is then one matrix product without a copy, and a window reads runs of channels. Where there are
few channels the images lie innermost, ``C, H, W, N`` (the order of cuda-convnet), so that runs are long again.
Elementwise layers and pools keep what they are given.
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


def memory_axes(images: Array) -> tuple[int, int, int, int]:
    """The axes of ``(N, C, H, W)`` in an order with H and W in the middle that comes nearest to their memory.

    >>> memory_axes(np.zeros((2, 8, 5, 5)))
    (0, 2, 3, 1)
    """
    inside, last = (1, 2, 3, 0), (0, 2, 3, 1)
    lies_inside = images.transpose(inside).flags.c_contiguous and not images.transpose(last).flags.c_contiguous
    return inside if lies_inside else last


def in_order(images: Array, axes: tuple[int, int, int, int]) -> Array:
    """``(N, C, H, W)`` with these axes, contiguous; copies only when it does not lie so already."""
    return np.ascontiguousarray(images.transpose(axes))


def from_order(ordered: Array, axes: tuple[int, int, int, int]) -> Array:
    """View what ``in_order`` gave as ``(N, C, H, W)``, without a copy."""
    return ordered.transpose(np.argsort(axes))


def random_like(x: Array, rng: np.random.Generator) -> Array:
    """Uniform float32 values of [0, 1) in the shape and the memory layout of ``x``."""
    axes = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
    values = rng.random([x.shape[axis] for axis in axes], dtype=np.float32)
    return values.transpose(np.argsort(axes))


def values_per_image(batch: Array) -> int:
    """Number of values that one image has; also of an empty batch."""
    return math.prod(batch.shape[1:])
