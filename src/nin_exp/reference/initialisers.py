"""Initial weights. Every function takes the generator it draws from.

Shapes are torch's: ``(out_features, in_features)`` for Linear, ``(K, C, kh, kw)`` for Conv2d.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from nin_exp.reference.layout import Array
from nin_exp.reference.module import Layer

Shape = tuple[int, ...]
Initialiser = Callable[[Shape, np.random.Generator], Array]
FanMode = Literal["fan_in", "fan_out"]


def fans(shape: Shape) -> tuple[int, int]:
    """Inputs and outputs that one unit has: ``(C * kh * kw, K * kh * kw)``.

    >>> fans((192, 96, 5, 5))
    (2400, 4800)

    Raises:
        ValueError: a shape of fewer than two axes has no fans.
    """
    if len(shape) < 2:
        raise ValueError(f"fans need a weight of at least two axes, got shape {shape}")
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


def constant(shape: Shape, value: float, dtype: npt.DTypeLike = np.float32) -> Array:
    """Every weight the same."""
    return np.full(shape, value, dtype)


def zeros(shape: Shape, dtype: npt.DTypeLike = np.float32) -> Array:
    """Every weight 0."""
    return np.zeros(shape, dtype)


def normal(shape: Shape, std: float, rng: np.random.Generator, dtype: npt.DTypeLike = np.float32) -> Array:
    """N(0, std^2); NiN's published CIFAR-10 configuration uses 0.05 everywhere."""
    return (std * rng.standard_normal(shape)).astype(dtype)


def uniform(shape: Shape, bound: float, rng: np.random.Generator, dtype: npt.DTypeLike = np.float32) -> Array:
    """U(-bound, bound)."""
    return rng.uniform(-bound, bound, shape).astype(dtype)


def xavier_normal(
    shape: Shape, rng: np.random.Generator, gain: float = 1.0, dtype: npt.DTypeLike = np.float32
) -> Array:
    """N(0, gain^2 * 2 / (fan_in + fan_out)) (Glorot and Bengio 2010, eq. 12, given by its variance)."""
    return normal(shape, gain * math.sqrt(2 / sum(fans(shape))), rng, dtype)


def xavier_uniform(
    shape: Shape, rng: np.random.Generator, gain: float = 1.0, dtype: npt.DTypeLike = np.float32
) -> Array:
    """U(-a, a), a = gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, eq. 16)."""
    return uniform(shape, gain * math.sqrt(6 / sum(fans(shape))), rng, dtype)


def kaiming_normal(
    shape: Shape, rng: np.random.Generator, mode: FanMode = "fan_in", dtype: npt.DTypeLike = np.float32
) -> Array:
    """N(0, 2 / fan), which keeps the variance through ReLU layers (He et al. 2015, eq. 10 and 14)."""
    return normal(shape, math.sqrt(2 / _fan(shape, mode)), rng, dtype)


def kaiming_uniform(
    shape: Shape, rng: np.random.Generator, mode: FanMode = "fan_in", dtype: npt.DTypeLike = np.float32
) -> Array:
    """U(-a, a), a = sqrt(6 / fan): the variance of ``kaiming_normal``."""
    return uniform(shape, math.sqrt(6 / _fan(shape, mode)), rng, dtype)


def torch_default(shape: Shape, fan_in: int, rng: np.random.Generator, dtype: npt.DTypeLike = np.float32) -> Array:
    """U(-a, a), a = 1 / sqrt(fan_in): what torch gives Conv2d and Linear, weights and biases alike."""
    return uniform(shape, 1 / math.sqrt(fan_in), rng, dtype)


def _fan(shape: Shape, mode: FanMode) -> int:
    return fans(shape)[0 if mode == "fan_in" else 1]


def initialise(network: Layer, weight: Initialiser, rng: np.random.Generator, bias: float = 0.0) -> int:
    """Set every weight of at least two axes with ``weight`` and every bias beside one to ``bias``.

    It walks all layers, however deep they lie; scales and shifts of batch norm stay as they are.

    Returns:
        The number of weights set.
    """
    count = 0
    for _, layer in network.layers():
        own = layer.own_parameters
        if "weight" not in own or own["weight"].data.ndim < 2:
            continue
        own["weight"].data[...] = weight(own["weight"].data.shape, rng)
        if "bias" in own:
            own["bias"].data[...] = bias
        count += 1
    return count
