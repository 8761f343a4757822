"""What a set of pairs says: effect, test and verdict, for a fixed number of seeds or at the looks that were taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nin_exp.records.study import Comparison, ContrastLooks
from nin_exp.stats.chance import is_above_chance
from nin_exp.stats.paired import PairedEffect, paired_differences, paired_effect
from nin_exp.stats.sequential import Decision, decide
from nin_exp.stats.sign_flip import SignFlipTest, sign_flip_test
from nin_exp.stats.verdict import FEW_PAIRS, Note, Verdict, judge

RNG_SEED = 0
"""Of bootstrap and Monte Carlo: a report that is built again gives the same numbers."""

PairState = Literal["complete", "diverged", "incomplete", "limited", "later"]
Scores = Sequence[tuple[float, float]]
"""Of arm and baseline, one a pair."""


@dataclass(frozen=True)
class Pair:
    """The two runs of a seed; ``arm`` and ``baseline`` are their scores, None where there is none.

    Args:
        state: ``limited``: a run saw a few batches only; ``later``: complete, but after the last look.
    """

    seed: int
    arm: float | None
    baseline: float | None
    state: PairState


@dataclass(frozen=True)
class Monitored:
    """A contrast that gets seeds until it is decided.

    Args:
        counts: numbers of pairs at the looks.
        decision: of the last look; None before the first one.
    """

    max_pairs: int
    counts: tuple[int, ...]
    decision: Decision | None


@dataclass(frozen=True)
class Outcome:
    """What a set of pairs says; effect and test are None without any pair.

    Args:
        test: also None where the pairs were monitored: its p knows nothing of the looks.
        monitored: then the effect's intervals are repeated confidence intervals; None for a fixed number of seeds.
    """

    effect: PairedEffect | None
    test: SignFlipTest | None
    verdict: Verdict
    monitored: Monitored | None = None

    @property
    def is_final(self) -> bool:
        """Whether a monitored contrast needs no further seed: decided, at its last pair, or an arm is at chance."""
        if self.monitored is None or self.monitored.decision is None:
            return False
        return self.verdict.label == "none" or self.monitored.decision.is_final


@dataclass(frozen=True)
class Setting:
    """What all outcomes of a contrast are judged by.

    Args:
        chance: accuracy of guessing the most frequent class; None when unknown, or the metric is no accuracy.
        num_examples: size of the evaluated split, None when unknown.
    """

    comparison: Comparison
    n_contrasts: int
    chance: float | None
    num_examples: int | None

    def at_chance(self, arm: Sequence[float], baseline: Sequence[float]) -> tuple[Note, ...]:
        """Which of the two has learnt nothing."""
        if self.chance is None:
            return ()
        notes: tuple[Note, Note] = ("arm_at_chance", "baseline_at_chance")
        return tuple(
            note
            for note, side in zip(notes, (arm, baseline), strict=True)
            if not is_above_chance(side, self.chance, self.num_examples)
        )


def fixed_outcome(scores: Scores, setting: Setting) -> Outcome:
    """The outcome of a number of seeds that was fixed before any result."""
    rope, alpha = setting.comparison.rope, setting.comparison.alpha
    if not scores:
        return Outcome(None, None, judge(None, rope, alpha))
    arm, baseline = (list(side) for side in zip(*scores, strict=True))
    effect = paired_effect(arm, baseline, alpha=alpha, n_contrasts=setting.n_contrasts)
    test = sign_flip_test(paired_differences(arm, baseline), np.random.default_rng(RNG_SEED))
    return Outcome(effect, test, judge(effect, rope, alpha, setting.at_chance(arm, baseline)))


def monitored_outcome(scores: Scores, looks: ContrastLooks, setting: Setting) -> Outcome:
    """The outcome at the last look, with repeated confidence intervals: they hold at all looks together.

    Args:
        scores: of the pairs that were looked at. Where their number is not that of the last look (a run was taken
            away, diverged pairs count), every pair counts as looked at: wider, and right for any stopping.
    """
    comparison, n = setting.comparison, len(scores)
    if not scores:
        return Outcome(None, None, Verdict("none", notes=("no_pairs",)), Monitored(looks.max_pairs, looks.counts, None))
    before = looks.counts[:-1] if looks.counts[-1:] == (n,) else tuple(range(1, n))
    arm, baseline = (list(side) for side in zip(*scores, strict=True))
    differences = paired_differences(arm, baseline)
    share = comparison.alpha / setting.n_contrasts
    alone, together = (
        decide(differences, before, max(n, looks.max_pairs), alpha=alpha, rope=comparison.rope)
        for alpha in (comparison.alpha, share)
    )
    effect = replace(
        paired_effect(arm, baseline, alpha=comparison.alpha, n_contrasts=setting.n_contrasts),
        interval=alone.interval,
        widened=together.interval,
    )
    at_chance = setting.at_chance(arm, baseline)
    verdict = Verdict("none", notes=at_chance) if at_chance else Verdict(together.label, notes=_notes(effect))
    return Outcome(effect, None, verdict, Monitored(looks.max_pairs, looks.counts, together))


def _notes(effect: PairedEffect) -> tuple[Note, ...]:
    notes: list[Note] = []
    if effect.sd == 0:
        notes.append("identical" if effect.mean == 0 else "no_spread")
    return (*notes, "few_pairs") if effect.n < FEW_PAIRS else tuple(notes)
