"""The percentile bootstrap of a mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nin_exp.stats.intervals import Interval, as_sample

DRAWS = 10_000
FEW_PAIRS = 20
"""Below this many values the percentile interval covers less than it says (86 % for 95 % at n = 6)."""

MOST_SHARED = 200
"""Values of which the draws are kept: 16 MB."""


@dataclass(frozen=True)
class BootstrapInterval:
    """A percentile interval; ``is_too_narrow`` warns of too few values."""

    interval: Interval
    draws: int
    is_too_narrow: bool


def bootstrap_interval(values: ArrayLike, confidence: float, rng: np.random.Generator) -> BootstrapInterval:
    """Percentile bootstrap interval of the mean (Efron 1979).

    It knows nothing of Student's t: with few values it is too narrow, and says so.

    Args:
        values: such as paired differences, shape ``(N,)``, at least 2.
        confidence: in (0, 1).
    """
    sample = as_sample(values)
    if sample.size < 2:
        raise ValueError(f"a bootstrap interval needs at least 2 values, got {sample.size}")
    rows = max(1, 2_000_000 // sample.size)
    sizes = [min(rows, DRAWS - start) for start in range(0, DRAWS, rows)]
    means = np.concatenate([resampled_means(sample, size, rng) for size in sizes])
    return BootstrapInterval(percentile_interval(means, confidence), DRAWS, sample.size < FEW_PAIRS)


def percentile_interval(draws: NDArray[np.float64], confidence: float) -> Interval:
    """The middle of some draws, shape ``(D,)``: ``np.quantile`` in a third of its time."""
    ordered = np.sort(draws)
    ends = []
    for share in ((1 - confidence) / 2, (1 + confidence) / 2):
        place = share * (ordered.size - 1)
        below = min(int(place), ordered.size - 2) if ordered.size > 1 else 0
        above = min(below + 1, ordered.size - 1)
        ends.append(float(ordered[below] + (place - below) * (ordered[above] - ordered[below])))
    return Interval(ends[0], ends[1], confidence)


def seeded_bootstrap(values: ArrayLike, confidence: float, seed: int) -> BootstrapInterval:
    """``bootstrap_interval`` with a generator of this seed; many samples of one size share their draws.

    Args:
        values: shape ``(N,)``, at least 2.
        confidence: in (0, 1).
    """
    sample = as_sample(values)
    if not 2 <= sample.size <= MOST_SHARED:
        return bootstrap_interval(sample, confidence, np.random.default_rng(seed))
    means = seeded_means(sample, seed)
    return BootstrapInterval(percentile_interval(means, confidence), DRAWS, sample.size < FEW_PAIRS)


def seeded_means(sample: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of ``DRAWS`` samples drawn with replacement, shape ``(DRAWS,)``; the same draws for samples of one size."""
    if sample.size > MOST_SHARED:
        return resampled_means(sample, DRAWS, np.random.default_rng(seed))
    means: NDArray[np.float64] = _counts(sample.size, seed) @ sample / sample.size
    return means


@lru_cache(maxsize=8)
def _counts(size: int, seed: int) -> NDArray[np.float64]:
    """How often each value is drawn in each sample, shape ``(DRAWS, size)``."""
    drawn = np.random.default_rng(seed).integers(0, size, (DRAWS, size), dtype=np.uint16).astype(np.int64)
    drawn += size * np.arange(DRAWS)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=DRAWS * size)
    return counts.reshape(DRAWS, size).astype(np.float64)


def resampled_means(sample: NDArray[np.float64], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Means of samples drawn with replacement, shape ``(draws,)``; small integers are drawn three times as fast."""
    kind = np.uint16 if sample.size <= 2**16 else np.int64
    means: NDArray[np.float64] = sample[rng.integers(0, sample.size, (draws, sample.size), dtype=kind)].mean(axis=1)
    return means
