"""An arm against the baseline in one block: the pairs, the effect, the test, the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nin_exp.records.study import Comparison
from nin_exp.report.collect import Run, number
from nin_exp.report.metric import Metric
from nin_exp.stats.bootstrap import BootstrapInterval, bootstrap_interval
from nin_exp.stats.chance import is_above_chance
from nin_exp.stats.multiplicity import holm
from nin_exp.stats.paired import PairedEffect, paired_differences, paired_effect
from nin_exp.stats.sign_flip import SignFlipTest, sign_flip_test
from nin_exp.stats.verdict import Note, Verdict, judge

RNG_SEED = 0
"""Of bootstrap and Monte Carlo: a report that is built again gives the same numbers."""

ORDINARY_FLAGS = frozenset({"stopped_early"})
"""Flags that a verdict need not mention."""

PairState = Literal["complete", "diverged", "incomplete"]
Runs = Mapping[tuple[str, str, int], Run]
"""Runs by arm, block and seed."""


@dataclass(frozen=True)
class Pair:
    """The two runs of a seed; ``arm`` and ``baseline`` are their scores, None where there is none."""

    seed: int
    arm: float | None
    baseline: float | None
    state: PairState


@dataclass(frozen=True)
class Outcome:
    """What a set of pairs says; effect and test are None without any pair."""

    effect: PairedEffect | None
    test: SignFlipTest | None
    verdict: Verdict


@dataclass(frozen=True)
class Contrast:
    """An arm against the baseline in a block.

    Args:
        outcome: of the complete pairs.
        with_diverged: the same with diverged runs at chance; None when none diverged, or chance is unknown.
        holm_p: the exact p, adjusted over all contrasts of the study.
        flagged: arm, flag, number of its runs in complete pairs.
        chance: accuracy of guessing the most frequent class; None when unknown, or the metric is no accuracy.
        num_examples: size of the evaluated split, None when unknown.
    """

    arm: str
    baseline: str
    block: str
    pairs: tuple[Pair, ...]
    outcome: Outcome
    with_diverged: Outcome | None
    bootstrap: BootstrapInterval | None
    holm_p: float | None
    flagged: tuple[tuple[str, str, int], ...]
    chance: float | None
    num_examples: int | None

    def count(self, state: PairState) -> int:
        """How many pairs are complete, diverged or incomplete."""
        return sum(pair.state == state for pair in self.pairs)

    @property
    def complete(self) -> list[Pair]:
        """The pairs whose two runs are done."""
        return [pair for pair in self.pairs if pair.state == "complete"]


def find_contrasts(comparison: Comparison, runs: Runs) -> tuple[Contrast, ...]:
    """Compare each arm with the baseline in each block.

    Intervals are widened, and p-values adjusted, over all contrasts that the study plans: those that cannot
    be computed yet count as p = 1, so a study that is half done promises no more than it will hold.
    """
    others = [arm for arm in comparison.arms if arm != comparison.baseline]
    planned = {(arm, block) for arm, block, _ in runs}
    places = [(arm, block) for block in comparison.blocks for arm in others if (arm, block) in planned]
    chances = _chances(runs, Metric(comparison.metric))
    contrasts = [
        _contrast(comparison, runs, arm, block, len(places), chances.get(block, (None, None))) for arm, block in places
    ]
    tests = [contrast.outcome.test for contrast in contrasts]
    adjusted = holm([1.0 if test is None else test.p for test in tests])
    return tuple(
        contrast if test is None else replace(contrast, holm_p=float(p))
        for contrast, test, p in zip(contrasts, tests, adjusted, strict=True)
    )


def _contrast(
    comparison: Comparison,
    runs: Runs,
    arm: str,
    block: str,
    n_contrasts: int,
    known: tuple[float | None, int | None],
) -> Contrast:
    metric = Metric(comparison.metric)
    pairs = tuple(
        _pair(runs, arm, comparison.baseline, block, seed, metric.key)
        for seed in comparison.seeds
        if (arm, block, seed) in runs or (comparison.baseline, block, seed) in runs
    )
    chance, num_examples = known
    complete = [(p.arm, p.baseline) for p in pairs if p.arm is not None and p.baseline is not None]
    outcome = _outcome(complete, comparison, n_contrasts, chance, num_examples)
    with_diverged = None
    if chance is not None and any(pair.state == "diverged" for pair in pairs):
        filled = [
            (chance if p.arm is None else p.arm, chance if p.baseline is None else p.baseline)
            for p in pairs
            if p.state != "incomplete"
        ]
        with_diverged = _outcome(filled, comparison, n_contrasts, chance, num_examples)
    return Contrast(
        arm=arm,
        baseline=comparison.baseline,
        block=block,
        pairs=pairs,
        outcome=outcome,
        with_diverged=with_diverged,
        bootstrap=_bootstrap([a - b for a, b in complete], 1 - comparison.alpha),
        holm_p=None,
        flagged=_flagged(runs, (arm, comparison.baseline), block, pairs),
        chance=chance,
        num_examples=num_examples,
    )


def _bootstrap(differences: Sequence[float], confidence: float) -> BootstrapInterval | None:
    if len(differences) < 2:
        return None
    return bootstrap_interval(differences, confidence, np.random.default_rng(RNG_SEED))


def _flagged(runs: Runs, arms: Sequence[str], block: str, pairs: Sequence[Pair]) -> tuple[tuple[str, str, int], ...]:
    flags = Counter(
        (arm, flag)
        for arm in arms
        for pair in pairs
        if pair.state == "complete" and (record := runs[arm, block, pair.seed].record) is not None
        for flag in record.flags
        if flag not in ORDINARY_FLAGS
    )
    return tuple((arm, flag, number) for (arm, flag), number in flags.items())


def _pair(runs: Runs, arm: str, baseline: str, block: str, seed: int, metric: str) -> Pair:
    two = [runs.get((name, block, seed)) for name in (arm, baseline)]
    scores = [run.score(metric) if run is not None and run.state == "done" else None for run in two]
    has_diverged = [run is not None and run.state == "diverged" for run in two]
    state: PairState = "incomplete"
    if all(score is not None for score in scores):
        state = "complete"
    elif all(score is not None or gone for score, gone in zip(scores, has_diverged, strict=True)):
        state = "diverged"
    return Pair(seed, scores[0], scores[1], state)


def _outcome(
    scores: Sequence[tuple[float, float]],
    comparison: Comparison,
    n_contrasts: int,
    chance: float | None,
    num_examples: int | None,
) -> Outcome:
    if not scores:
        return Outcome(None, None, judge(None, comparison.rope, comparison.alpha))
    arm, baseline = (list(side) for side in zip(*scores, strict=True))
    effect = paired_effect(arm, baseline, alpha=comparison.alpha, n_contrasts=n_contrasts)
    test = sign_flip_test(paired_differences(arm, baseline), np.random.default_rng(RNG_SEED))
    guessing: list[Note] = []
    if chance is not None:
        notes: tuple[Note, Note] = ("arm_at_chance", "baseline_at_chance")
        for note, side in zip(notes, (arm, baseline), strict=True):
            if not is_above_chance(side, chance, num_examples):
                guessing.append(note)
    return Outcome(effect, test, judge(effect, comparison.rope, comparison.alpha, tuple(guessing)))


def _chances(runs: Runs, metric: Metric) -> dict[str, tuple[float, int | None]]:
    """Chance and size of the split of each block, from the first record of the block that holds them."""
    found: dict[str, tuple[float, int | None]] = {}
    if not metric.is_accuracy:
        return found
    for (_, block, _), run in runs.items():
        if block in found or run.record is None:
            continue
        chance = number(run.record.data.get("chance"))
        if chance is not None and 0 <= chance <= 1:
            size = number(run.record.data.get(f"num_{metric.split}"))
            found[block] = chance, None if size is None or size < 1 else round(size)
    return found
