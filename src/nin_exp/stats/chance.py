"""Whether an arm has learnt anything at all."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike
from scipy import special

from nin_exp.stats.intervals import as_sample

GUESSING_ERROR = 0.001
"""How often a guesser may pass for an arm that has learnt."""


def chance_ceiling(chance: float, num_examples: int | None) -> float:
    """The accuracy that guessing exceeds with probability ``GUESSING_ERROR`` at most.

    It is a quantile of the binomial distribution. An arm's mean over seeds is held against the ceiling of
    a single run: its runs are evaluated on the same examples, so where all of them guess alike (a dead head
    does) their mean is no more certain than one of them. Guessing the most frequent class scores ``chance``.

    Args:
        chance: share of the most frequent class, in [0, 1].
        num_examples: size of the evaluated split; None: unknown, and the ceiling is ``chance`` itself.
    """
    if not 0 <= chance <= 1:
        raise ValueError(f"chance must lie in [0, 1], got {chance}")
    if num_examples is None or chance in (0.0, 1.0):
        return chance
    hits = special.bdtrik(1 - GUESSING_ERROR, num_examples, chance)
    return min(1.0, math.ceil(float(hits) - 1e-9) / num_examples)


def is_above_chance(accuracies: ArrayLike, chance: float, num_examples: int | None) -> bool:
    """Whether the mean accuracy of an arm's runs is more than guessing reaches.

    Args:
        accuracies: fractions, shape ``(N,)``.
        chance: share of the most frequent class. num_examples: size of the evaluated split, or None.
    """
    return float(as_sample(accuracies).mean()) > chance_ceiling(chance, num_examples)
