"""Look at a comparison as its pairs arrive, and stop as soon as it is decided, at an error that still holds.

A group-sequential design with an error-spending boundary (Lan and DeMets 1983; the spending function is the power
family of Kim and DeMets 1987) on the paired t statistic. At each look the verdict comes from a repeated confidence
interval (Jennison and Turnbull 1989): with probability 1 - alpha all intervals of all looks hold the true difference,
so it does not matter when, or why, somebody stops.

The boundary is not taken from normal theory, which is too lenient for a handful of pairs: the path of t statistics has
one distribution, whatever the true spread, and its quantiles are simulated for the looks that were made.
AdaStop (Mathieu et al. 2024) spends its error in the same way, on permutation statistics; those are exact without
normal differences, but know no region of equivalence, and a verdict would have two meanings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from nin_exp.stats.intervals import Interval, as_sample, standard_deviation
from nin_exp.stats.sign_flip import smallest_two_sided
from nin_exp.stats.verdict import FEW_PAIRS, Label, place

FIRST_LOOK = FEW_PAIRS
"""No decision before this many pairs: an interval of fewer rests on normality alone."""

SPENDING_POWER = 2.0
"""Of the spending function alpha (n / max_pairs)^power: 1 spends evenly, 3 is close to O'Brien and Fleming."""

SIMULATED_PATHS = 200_000
SIMULATION_SEED = 19831089
"""Fixed: the same looks always have the same boundary."""


@dataclass(frozen=True)
class Look:
    """The boundary at one look.

    Args:
        n_pairs: pairs at this look.
        critical: value that the absolute t statistic must reach; infinite where no error may be spent yet.
        spent: error spent up to and with this look, in [0, alpha].
    """

    n_pairs: int
    critical: float
    spent: float


@dataclass(frozen=True)
class Decision:
    """What a look at the pairs says.

    Args:
        label: better, worse, same, or undecided; never anything but undecided before ``FIRST_LOOK`` pairs.
        is_final: the comparison can stop: it is decided, or ``max_pairs`` have run.
        interval: the repeated confidence interval of this look; ``confidence`` is that of all looks together.
            None where no error may be spent yet.
        look: the boundary that was used.
    """

    label: Label
    is_final: bool
    mean: float
    interval: Interval | None
    look: Look


def decide(
    differences: ArrayLike, looks_so_far: Sequence[int], max_pairs: int, *, alpha: float, rope: float
) -> Decision:
    """Decide, or go on, at one look.

    Args:
        differences: arm - baseline of all pairs so far, in the order in which they were planned, shape ``(N,)``.
        looks_so_far: numbers of pairs at the looks before this one, rising; each look costs, also one that was
            made and not acted on.
        max_pairs: pairs at which the comparison ends undecided; chosen before the first look.
        alpha: error of this contrast; of several, each takes its share (alpha by their number, Bonferroni).
        rope: half width of the region of practical equivalence.

    Raises:
        ValueError: the looks do not rise to ``max_pairs`` at most.

    >>> decide([0.02, 0.03, 0.02, 0.04, 0.03, 0.02], [], 20, alpha=0.05, rope=0.002).label
    'better'
    >>> decide([0.02, -0.03, 0.02], [], 20, alpha=0.05, rope=0.002).is_final
    False
    """
    sample = as_sample(differences)
    n, mean = sample.size, float(sample.mean())
    look = boundary((*looks_so_far, n), max_pairs, alpha=alpha)[-1]
    is_last = n == max_pairs
    sd = standard_deviation(sample)
    if sd is None or math.isinf(look.critical):
        return Decision("undecided", is_last, mean, None, look)
    half = look.critical * sd / math.sqrt(n)
    interval = Interval(mean - half, mean + half, 1 - alpha)
    # Where all differences are equal the interval has no width, which a few may be by accident: it is believed once
    # an exact sign-flip test of so many pairs could reach what is spent, as in ``verdict.judge``.
    is_believed = sd > 0 or smallest_two_sided(n) <= look.spent
    label = place(interval.low, interval.high, rope) if is_believed else "undecided"
    return Decision(label, is_last or label != "undecided", mean, interval, look)


def boundary(looks: Sequence[int], max_pairs: int, *, alpha: float) -> tuple[Look, ...]:
    """The boundary at each look; a look's boundary depends on those before it, not on those to come.

    Args:
        looks: numbers of pairs, rising, the last at most ``max_pairs``.
        alpha: in (0, 0.5].

    Raises:
        ValueError: as ``decide``.
    """
    if not looks or looks[0] < 1 or looks[-1] > max_pairs or any(a >= b for a, b in pairwise(looks)):
        raise ValueError(f"looks must rise from 1 or more to max_pairs ({max_pairs}) at most, got {list(looks)}")
    if not 0 < alpha <= 0.5:
        raise ValueError(f"alpha must lie in (0, 0.5], got {alpha}")
    return _boundary(tuple(looks), max_pairs, alpha)


def spending(n_pairs: int, max_pairs: int, alpha: float) -> float:
    """Error that may be spent by a look at ``n_pairs`` (Kim and DeMets 1987); 0 before ``FIRST_LOOK``, but at the end.

    >>> spending(10, 20, 0.05), spending(20, 20, 0.05), spending(3, 20, 0.05)
    (0.0125, 0.05, 0.0)
    """
    if n_pairs < min(FIRST_LOOK, max_pairs):
        return 0.0
    return float(alpha * (n_pairs / max_pairs) ** SPENDING_POWER)


@lru_cache(maxsize=256)
def _boundary(looks: tuple[int, ...], max_pairs: int, alpha: float) -> tuple[Look, ...]:
    """Simulate paths without a difference; at each look the most extreme living paths are spent and leave."""
    rng = np.random.default_rng(SIMULATION_SEED)
    total, squares = np.zeros(SIMULATED_PATHS), np.zeros(SIMULATED_PATHS)
    is_alive = np.ones(SIMULATED_PATHS, dtype=np.bool_)
    num_spent, found = 0, []
    for n in range(1, looks[-1] + 1):
        draws = rng.standard_normal(SIMULATED_PATHS)
        total += draws
        squares += draws * draws
        if n not in looks:
            continue
        # Rounded down, so that what is not spent is left for later looks.
        allowance = math.floor(spending(n, max_pairs, alpha) * SIMULATED_PATHS + 1e-9) - num_spent
        critical = math.inf
        if allowance > 0 and n > 1:
            variance = np.maximum((squares - total * total / n) / (n - 1), 1e-300)
            t = np.where(is_alive, np.abs(total) / np.sqrt(n * variance), -1.0)
            critical = float(np.partition(t, -allowance)[-allowance])
            is_alive &= t < critical
            num_spent += allowance
        found.append(Look(n, critical, num_spent / SIMULATED_PATHS))
    return tuple(found)


def nominal_level(look: Look) -> float:
    """The two-sided p-value that an ordinary t test must fall below at this look; 0 where none is low enough."""
    return 0.0 if math.isinf(look.critical) else 2 * float(special.stdtr(look.n_pairs - 1, -look.critical))
