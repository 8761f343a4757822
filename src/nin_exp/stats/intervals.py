"""Confidence intervals of a mean and of a difference of means."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

RELATIVE_NOISE = 1e-12
"""Differences of scores that agree but for rounding: 0.93 - 0.92 and 0.95 - 0.94 differ by 1e-17."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval; ``confidence`` is a fraction such as 0.95."""

    low: float
    high: float
    confidence: float

    @property
    def width(self) -> float:
        """Length of the interval, in the unit of its ends."""
        return self.high - self.low


def as_sample(values: ArrayLike) -> NDArray[np.float64]:
    """Return the values as float64 of shape ``(N,)``.

    Raises:
        ValueError: they are not one row of at least one finite number.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError(f"a sample must be a row of one or more finite numbers, got shape {sample.shape}")
    return sample


def standard_deviation(values: ArrayLike, scale: float | None = None) -> float | None:
    """Sample standard deviation with n - 1, None for a single value, exactly 0 where only rounding differs.

    Args:
        values: shape ``(N,)``.
        scale: size of the numbers the values were computed from; None: the values' own.
    """
    sample = as_sample(values)
    if sample.size < 2:
        return None
    size = float(np.abs(sample).max()) if scale is None else scale
    apart = sample - sample.mean()
    spread = math.sqrt(float(apart @ apart) / (sample.size - 1))
    return spread if spread > RELATIVE_NOISE * size else 0.0


def t_quantile(confidence: float, df: float) -> float:
    """The two-sided quantile of Student's t: P(|T| <= quantile) = confidence."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    return float(special.stdtrit(df, 0.5 + confidence / 2))


def t_interval(mean: float, sd: float, n: int, confidence: float) -> Interval:
    """Student's interval of a mean.

    Args:
        sd: sample standard deviation with n - 1.
        n: number of values, at least 2.
        confidence: in (0, 1).
    """
    if n < 2:
        raise ValueError(f"an interval needs at least 2 values, got {n}")
    half = t_quantile(confidence, n - 1) * sd / math.sqrt(n)
    return Interval(mean - half, mean + half, confidence)


def welch_width(first: ArrayLike, second: ArrayLike, confidence: float) -> float:
    """Width of the unpaired interval of a difference of means (Welch 1947), as if the pairs were not known.

    Args:
        first: shape ``(N,)``, at least 2 values.
        second: shape ``(M,)``, at least 2 values.
        confidence: in (0, 1).
    """
    a, b = as_sample(first), as_sample(second)
    if min(a.size, b.size) < 2:
        raise ValueError(f"an interval needs at least 2 values in each sample, got {a.size} and {b.size}")
    return unpaired_width((float(a.var(ddof=1)), a.size), (float(b.var(ddof=1)), b.size), confidence)


def unpaired_width(first: tuple[float, int], second: tuple[float, int], confidence: float) -> float:
    """``welch_width`` from the variance (with n - 1) and the size of each sample."""
    parts = [(variance / size, size - 1) for variance, size in (first, second)]
    total = sum(part for part, _ in parts)
    if total == 0:
        return 0.0
    df = total**2 / sum(part**2 / freedom for part, freedom in parts)  # Welch-Satterthwaite
    return 2 * t_quantile(confidence, df) * math.sqrt(total)
