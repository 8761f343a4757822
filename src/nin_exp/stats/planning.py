"""What a number of paired seeds can show, before and after they have run.

The power of the paired t test and of its interval is that of the noncentral t distribution (Cohen 1988,
chapter 2); nothing is simulated. ``scipy.special`` instead of
``scipy.stats``: a dry run waits for the import.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from nin_exp.stats.intervals import t_quantile
from nin_exp.stats.sign_flip import smallest_two_sided

ALPHA = 0.05
POWER = 0.8
MAX_FURTHER_PAIRS = 200
"""Beyond this an extrapolation from a handful of pairs says nothing but "many"."""


@dataclass(frozen=True)
class FurtherPairs:
    """How many more pairs would probably decide; ``is_bound``: more than ``pairs``."""

    pairs: int
    is_bound: bool


def smallest_p(n_pairs: int, n_contrasts: int) -> float:
    """The smallest p that the exact test of ``n_pairs`` can reach after Holm's adjustment over the contrasts.

    >>> smallest_p(5, 1), smallest_p(6, 1), smallest_p(6, 2)
    (0.0625, 0.03125, 0.0625)
    """
    _check_counts(n_pairs, n_contrasts)
    return min(1.0, n_contrasts * smallest_two_sided(n_pairs))


def pairs_for_exact_test(n_contrasts: int, alpha: float) -> int:
    """The fewest pairs whose adjusted exact test can reach ``alpha``: 6 for one contrast and 0.05."""
    _check_counts(0, n_contrasts)
    return max(1, math.ceil(math.log2(n_contrasts / alpha) + 1 - 1e-12))


def paired_power(n_pairs: int, effect: float, n_contrasts: int, *, alpha: float = ALPHA) -> float:
    """Power of the two-sided paired t test at ``alpha`` by the number of contrasts.

    Args:
        n_pairs: at least 2.
        effect: mean difference by the sd of the differences.
    """
    _check_counts(n_pairs, n_contrasts)
    quantile = t_quantile(1 - alpha / n_contrasts, n_pairs - 1)
    shift = abs(effect) * math.sqrt(n_pairs)
    return _above(quantile, n_pairs - 1, shift) + _above(quantile, n_pairs - 1, -shift)


def detectable_effect(
    n_pairs: int, sd: float, n_contrasts: int, *, alpha: float = ALPHA, power: float = POWER
) -> float:
    """The smallest true mean difference that the paired t test finds with this power, in the unit of ``sd``.

    Args:
        n_pairs: number of pairs; fewer than 2 detect nothing, and give infinity.
        sd: standard deviation of the paired differences.
        n_contrasts: contrasts shown together; each is tested at ``alpha`` by their number.
        power: in (alpha, 1).
    """
    _check_counts(n_pairs, n_contrasts)
    if sd < 0 or not alpha < power < 1:
        raise ValueError(f"sd must be >= 0 and power in ({alpha}, 1), got {sd} and {power}")
    if n_pairs < 2:
        return math.inf
    low, high = 0.0, 1.0
    while paired_power(n_pairs, high, n_contrasts, alpha=alpha) < power:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        reaches = paired_power(n_pairs, middle, n_contrasts, alpha=alpha) >= power
        low, high = (low, middle) if reaches else (middle, high)
    return high * sd


def pairs_needed(
    effect: float, n_contrasts: int, *, alpha: float = ALPHA, power: float = POWER, maximum: int = 10_000
) -> int | None:
    """The fewest pairs whose paired t test finds ``effect`` (mean by sd); None beyond ``maximum``."""
    return _first_reaching(lambda n: paired_power(n, effect, n_contrasts, alpha=alpha), 2, maximum, power)


def decision_probability(n_pairs: int, mean: float, sd: float, rope: float, level: float) -> float:
    """Probability that the t interval of fresh pairs lies above, below or inside the region of equivalence.

    The two ways to miss the region's inside are added, which is exact but for a term that vanishes where
    the probability is of interest (Schuirmann 1987).

    Args:
        mean: true mean difference. sd: true sd of the differences, above 0. rope: half width, at least 0.
        level: error of the interval, after widening.
    """
    df, quantile, error = n_pairs - 1, t_quantile(1 - level, n_pairs - 1), sd / math.sqrt(n_pairs)
    better = _above(quantile, df, (mean - rope) / error)
    worse = _above(quantile, df, (-mean - rope) / error)
    over_low, under_high = (_above(quantile, df, (sign * mean + rope) / error) for sign in (1, -1))
    return min(1.0, better + worse + max(0.0, over_low + under_high - 1.0))


def further_pairs(
    n_pairs: int, mean: float, sd: float, rope: float, level: float, power: float = POWER
) -> FurtherPairs:
    """How many more pairs would probably decide, were the observed mean and sd the true ones.

    Both are estimates, so this is one too: a rough one with few pairs.

    Args:
        n_pairs: pairs so far. mean, sd: of their differences, sd above 0. rope: half width.
        level: error of the interval, after widening.
    """
    last = n_pairs + MAX_FURTHER_PAIRS
    total = _first_reaching(lambda n: decision_probability(n, mean, sd, rope, level), max(2, n_pairs + 1), last, power)
    return (
        FurtherPairs(MAX_FURTHER_PAIRS, is_bound=True)
        if total is None
        else FurtherPairs(total - n_pairs, is_bound=False)
    )


def _first_reaching(probability: Callable[[int], float], first: int, last: int, target: float) -> int | None:
    """The smallest n in [first, last] whose probability reaches the target, for one that grows with n."""
    if probability(last) < target:
        return None
    low, high = first - 1, last
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if probability(middle) >= target else (middle, high)
    return high


def _above(quantile: float, df: int, shift: float) -> float:
    """P(T > quantile) of the noncentral t with noncentrality ``shift``."""
    below = float(special.nctdtr(df, shift, quantile))
    if math.isnan(below):  # far out in a tail the library's series gives up
        chance = (np.arange(2000) + 0.5) / 2000
        chi = np.sqrt(special.chdtri(df, chance) / df)
        below = float(special.ndtr(quantile * chi - shift).mean())
    return 1.0 - below


def _check_counts(n_pairs: int, n_contrasts: int) -> None:
    if n_pairs < 0 or n_contrasts < 1:
        raise ValueError(f"n_pairs must be >= 0 and n_contrasts >= 1, got {n_pairs} and {n_contrasts}")
