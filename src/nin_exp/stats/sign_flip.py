"""The exact permutation test of paired differences (Fisher 1935, section 21): flip the sign of each pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nin_exp.stats.intervals import as_sample

MAX_EXACT_PAIRS = 20
"""Pairs up to which all sign patterns count, 2^19 of them up to mirroring."""

MONTE_CARLO_DRAWS = 100_000
RELATIVE_TOLERANCE = 1e-9
"""Sums that are equal on paper differ by rounding; they count as ties, that is, as just as extreme."""


@dataclass(frozen=True)
class SignFlipTest:
    """Two-sided test of "the differences are symmetric about 0".

    Args:
        p: the p-value.
        smallest_p: the smallest that this many non-zero differences can reach.
        is_exact: all patterns were enumerated; otherwise ``draws`` random ones.
    """

    p: float
    smallest_p: float
    is_exact: bool
    draws: int


def sign_flip_test(differences: ArrayLike, rng: np.random.Generator) -> SignFlipTest:
    """Test paired differences by flipping signs.

    Zero differences change no sum, whatever their sign, so they are left out; the p-value is the same.

    Args:
        differences: shape ``(N,)``.
        rng: used beyond ``MAX_EXACT_PAIRS`` non-zero differences only.
    """
    sample = as_sample(differences)
    sample = sample[sample != 0]
    if sample.size <= MAX_EXACT_PAIRS:
        patterns = 2 ** max(0, sample.size - 1)
        p = _count_extreme(sample) / patterns
        return SignFlipTest(p, smallest_two_sided(sample.size), is_exact=True, draws=patterns)
    extreme = int(_is_extreme(_random_sums(sample, rng), sample).sum())
    # The observed pattern counts among the draws: without it p could be 0 (Phipson and Smyth 2010).
    p = (extreme + 1) / (MONTE_CARLO_DRAWS + 1)
    return SignFlipTest(p, 1 / (MONTE_CARLO_DRAWS + 1), is_exact=False, draws=MONTE_CARLO_DRAWS)


def smallest_two_sided(n: int) -> float:
    """The smallest two-sided p of ``n`` non-zero differences, 2 / 2^n (1 for none)."""
    return min(1.0, 2.0 ** (1 - n))


def _count_extreme(sample: NDArray[np.float64]) -> int:
    """Count the patterns with the first sign fixed whose sum is at least as extreme as the observed one.

    The patterns of two halves are enumerated, and their sums paired by searching in the sorted second half: the
    same count as over all patterns, from about the square root of their number. The patterns with the first sign
    flipped mirror these, and the test is two-sided.
    """
    if sample.size == 0:
        return 1
    half = (sample.size + 1) // 2
    first, second = _sums(sample[1:half], sample[0]), np.sort(_sums(sample[half:], 0.0))
    least = abs(float(sample.sum())) - RELATIVE_TOLERANCE * float(np.abs(sample).sum())
    if least <= 0:
        return first.size * second.size
    above = second.size - np.searchsorted(second, least - first, side="left")
    below = np.searchsorted(second, -least - first, side="right")
    return int(above.sum() + below.sum())


def _sums(values: NDArray[np.float64], start: float) -> NDArray[np.float64]:
    """All sums of ``start`` ± each of the values."""
    sums = np.array([start])
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _random_sums(sample: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    sums = np.empty(MONTE_CARLO_DRAWS)
    rows = max(1, 2_000_000 // sample.size)
    for start in range(0, MONTE_CARLO_DRAWS, rows):
        part = sums[start : start + rows]
        part[:] = (2.0 * rng.integers(0, 2, (part.size, sample.size)) - 1.0) @ sample
    return sums


def _is_extreme(sums: NDArray[np.float64], sample: NDArray[np.float64]) -> NDArray[np.bool_]:
    observed, size = abs(float(sample.sum())), float(np.abs(sample).sum())
    return np.abs(sums) >= observed - RELATIVE_TOLERANCE * size
