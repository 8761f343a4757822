"""An arm against the baseline in one block: the pairs, the effect, the test, the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from nin_exp.records.study import Comparison, ContrastLooks
from nin_exp.report.collect import Run, number
from nin_exp.report.metric import Metric
from nin_exp.report.outcome import (
    RNG_SEED,
    Outcome,
    Pair,
    PairState,
    Setting,
    fixed_outcome,
    monitored_outcome,
)
from nin_exp.stats.bootstrap import BootstrapInterval, seeded_bootstrap
from nin_exp.stats.multiplicity import holm

ORDINARY_FLAGS = frozenset({"stopped_early", "stopped_above", "schedule_finished", "target_not_reached"})
"""Flags that a verdict need not mention."""

LIMITED_FLAG = "limited"
"""Of runs that saw a few batches only: they are no results."""

Runs = Mapping[tuple[str, str, int], Run]
"""Runs by arm, block and seed."""


@dataclass(frozen=True)
class Contrast:
    """An arm against the baseline in a block.

    Args:
        outcome: of the complete pairs.
        with_diverged: the same with diverged runs at chance; None when none diverged, or chance is unknown.
        holm_p: the exact p, adjusted over all contrasts of the study; None as the test is.
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
        """How many pairs are in a state."""
        return sum(pair.state == state for pair in self.pairs)

    @property
    def complete(self) -> list[Pair]:
        """The pairs that count: both runs are done, and they were looked at."""
        return [pair for pair in self.pairs if pair.state == "complete"]


def find_contrasts(comparison: Comparison, runs: Runs) -> tuple[Contrast, ...]:
    """Compare each arm with the baseline in each block.

    Intervals are widened, and p-values adjusted, over all contrasts that the study plans: those that cannot
    be computed yet count as p = 1, so a study that is half done promises no more than it will hold. Where the plan
    leaves an arm or the baseline out of a block there is no contrast.
    """
    others = [arm for arm in comparison.arms if arm != comparison.baseline]
    planned = {(arm, block) for arm, block, _ in runs}
    paired = [block for block in comparison.blocks if (comparison.baseline, block) in planned]
    places = [(arm, block) for block in paired for arm in others if (arm, block) in planned]
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
    metric, looks = Metric(comparison.metric), comparison.looks_at(arm, block)
    pairs = tuple(
        _pair(runs, arm, comparison.baseline, block, seed, metric.key, looks)
        for seed in comparison.seeds
        if (arm, block, seed) in runs or (comparison.baseline, block, seed) in runs
    )
    setting = Setting(comparison, n_contrasts, *known)
    judged = fixed_outcome if looks is None else partial(monitored_outcome, looks=looks)
    complete = [
        (p.arm, p.baseline) for p in pairs if p.state == "complete" and p.arm is not None and p.baseline is not None
    ]
    with_diverged = None
    if setting.chance is not None and any(pair.state == "diverged" for pair in pairs):
        filled = [
            (setting.chance if p.arm is None else p.arm, setting.chance if p.baseline is None else p.baseline)
            for p in pairs
            if p.state in ("complete", "diverged")
        ]
        with_diverged = judged(filled, setting=setting)
    return Contrast(
        arm=arm,
        baseline=comparison.baseline,
        block=block,
        pairs=pairs,
        outcome=judged(complete, setting=setting),
        with_diverged=with_diverged,
        bootstrap=None if looks else _bootstrap([a - b for a, b in complete], 1 - comparison.alpha),
        holm_p=None,
        flagged=_flagged(runs, (arm, comparison.baseline), block, pairs),
        chance=setting.chance,
        num_examples=setting.num_examples,
    )


def _bootstrap(differences: Sequence[float], confidence: float) -> BootstrapInterval | None:
    if len(differences) < 2:
        return None
    return seeded_bootstrap(differences, confidence, RNG_SEED)


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


def _pair(runs: Runs, arm: str, baseline: str, block: str, seed: int, metric: str, looks: ContrastLooks | None) -> Pair:
    two = runs.get((arm, block, seed)), runs.get((baseline, block, seed))
    scores = [run.score(metric) if run is not None and run.state == "done" else None for run in two]
    state: PairState = "incomplete"
    if any(run is not None and run.record is not None and LIMITED_FLAG in run.record.flags for run in two):
        state = "limited"
    elif scores[0] is not None and scores[1] is not None:
        state = "complete" if looks is None or seed in looks.seeds else "later"
    elif all(
        score is not None or (run is not None and run.state == "diverged")
        for run, score in zip(two, scores, strict=True)
    ):
        state = "diverged"
    return Pair(seed, scores[0], scores[1], state)


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


__all__ = ["RNG_SEED", "Contrast", "Outcome", "Pair", "PairState", "Runs", "find_contrasts"]
