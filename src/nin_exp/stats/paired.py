"""The difference between two arms that share their seeds, one pair a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nin_exp.stats.intervals import (
    RELATIVE_NOISE,
    Interval,
    as_sample,
    standard_deviation,
    t_interval,
    unpaired_width,
)


@dataclass(frozen=True)
class PairedEffect:
    """The paired difference arm - baseline, in the unit of the scores.

    Args:
        n: number of pairs.
        sd: of the differences; None for one pair.
        interval: the paired t interval of this contrast alone; None for one pair.
        widened: the same, widened so that all ``n_contrasts`` intervals hold together (Bonferroni).
        effect_size: Hedges' g of the differences; None where undefined (n < 3, or no spread).
        p_arm_above: share of pairs that the arm wins, a tie counting half.
        correlation: Pearson's, of the two arms over the pairs; None where undefined (n < 3, or no spread).
        width_ratio: width of the paired interval by the width of the unpaired one; under 1, pairing paid.
            None where undefined.
    """

    n: int
    mean: float
    sd: float | None
    interval: Interval | None
    widened: Interval | None
    n_contrasts: int
    effect_size: float | None
    p_arm_above: float
    correlation: float | None
    width_ratio: float | None


def paired_effect(arm: ArrayLike, baseline: ArrayLike, *, alpha: float, n_contrasts: int) -> PairedEffect:
    """Describe the paired difference of two arms.

    Args:
        arm: scores, shape ``(N,)``, one a pair.
        baseline: scores of the same pairs, shape ``(N,)``.
        alpha: error of the intervals, in (0, 1).
        n_contrasts: how many contrasts are shown together, at least 1; widens ``widened``.

    >>> paired_effect([0.9, 0.8], [0.8, 0.9], alpha=0.05, n_contrasts=1).p_arm_above
    0.5
    """
    a, b = as_sample(arm), as_sample(baseline)
    differences = paired_differences(a, b)
    n, mean = differences.size, float(differences.mean())
    sd = standard_deviation(differences, scale=_size(a, b))
    return PairedEffect(
        n=n,
        mean=mean,
        sd=sd,
        interval=None if sd is None else t_interval(mean, sd, n, 1 - alpha),
        widened=None if sd is None else t_interval(mean, sd, n, 1 - alpha / n_contrasts),
        n_contrasts=n_contrasts,
        effect_size=hedges_g(mean, sd, n),
        p_arm_above=probability_above(differences),
        **_pairing(a, b, sd, alpha),
    )


def paired_differences(arm: ArrayLike, baseline: ArrayLike) -> NDArray[np.float64]:
    """Return arm - baseline, shape ``(N,)``, with exact zeros where only rounding differs.

    Raises:
        ValueError: the samples are not pairs.
    """
    a, b = as_sample(arm), as_sample(baseline)
    if a.size != b.size:
        raise ValueError(f"paired samples must have one length, got {a.size} and {b.size}")
    differences: NDArray[np.float64] = a - b
    differences[np.abs(differences) <= RELATIVE_NOISE * _size(a, b)] = 0.0
    return differences


def hedges_g(mean: float, sd: float | None, n: int) -> float | None:
    """Effect size of paired differences: mean by sd, times Hedges' correction for small samples.

    The correction is the exact one, J = gamma(m / 2) / (sqrt(m / 2) gamma((m - 1) / 2)) with m = n - 1
    (Hedges 1981, equation 6e). None for fewer than 3 pairs, where it is 0, and where nothing varies.
    """
    if sd is None or sd == 0 or n < 3:
        return None
    m = n - 1
    log_j = special.gammaln(m / 2) - special.gammaln((m - 1) / 2) - 0.5 * math.log(m / 2)
    return float(math.exp(log_j) * mean / sd)


def probability_above(differences: ArrayLike) -> float:
    """P(A > B): the share of pairs with a positive difference, a tie counting half (Bouthillier 2021)."""
    sample = as_sample(differences)
    return float(((sample > 0).sum() + 0.5 * (sample == 0).sum()) / sample.size)


def correlation(first: ArrayLike, second: ArrayLike) -> float | None:
    """Pearson's correlation; None for fewer than 3 pairs (2 always give 1 or -1) or without spread."""
    a, b = as_sample(first), as_sample(second)
    return _correlation(a, b, standard_deviation(a), standard_deviation(b))


def _correlation(
    a: NDArray[np.float64], b: NDArray[np.float64], sd_a: float | None, sd_b: float | None
) -> float | None:
    if a.size < 3 or not sd_a or not sd_b:
        return None
    covariance = float((a - a.mean()) @ (b - b.mean())) / (a.size - 1)
    return min(1.0, max(-1.0, covariance / (sd_a * sd_b)))


def _pairing(a: NDArray[np.float64], b: NDArray[np.float64], sd: float | None, alpha: float) -> dict[str, float | None]:
    """What sharing the seeds gave: the correlation, and the width of the paired interval by the unpaired one."""
    sd_a, sd_b = standard_deviation(a), standard_deviation(b)
    ratio = None
    if sd is not None and sd_a is not None and sd_b is not None and (sd_a or sd_b):
        apart = unpaired_width((sd_a**2, a.size), (sd_b**2, b.size), 1 - alpha)
        ratio = t_interval(0.0, sd, a.size, 1 - alpha).width / apart
    return {"correlation": _correlation(a, b, sd_a, sd_b), "width_ratio": ratio}


def _size(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(max(np.abs(a).max(), np.abs(b).max()))
