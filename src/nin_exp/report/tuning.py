"""What a search has found: each arm's best trial, and what its budget was worth."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nin_exp.records.objective import Direction, direction_of, value_of
from nin_exp.records.search import Search
from nin_exp.report.collect import Run
from nin_exp.stats.tuning import equal_budget, expected_best

LOST = frozenset({"failed", "diverged", "pruned"})
"""States of a run that leave its trial without a value for good."""


@dataclass(frozen=True)
class TunedArm:
    """The trials of one arm; a trial's value is its mean over the search's seeds.

    Args:
        num_trials: begun. num_done: on all seeds. num_lost: failed, diverged or were pruned.
        values: of the trials that are done, in their order.
        best: the best of them, with its settings; None without any.
        expected: the expected best value of 1, 2, … of the trials that are done or lost, shape ``(N,)``; empty without
            a trial that is done. A lost one counts as the worst that any arm has done: left out, it would make an arm
            look good that often fails.
    """

    arm: str
    num_trials: int
    num_done: int
    num_lost: int
    values: tuple[float, ...]
    best: float | None
    settings: dict[str, str]
    expected: NDArray[np.float64]


@dataclass(frozen=True)
class Tuning:
    """A search over all its arms.

    Args:
        budget: trials that every arm has done; 0 where an arm has none.
        at_budget: each arm's expected best value at that budget.
    """

    search: Search
    objective: str
    direction: Direction
    arms: tuple[TunedArm, ...]
    budget: int
    at_budget: dict[str, float]


def describe_search(search: Search, runs: Sequence[Run]) -> Tuning:
    """Group the runs into trials and compare the arms at the budget that all of them have."""
    objective = search.objectives[0]
    direction = direction_of(objective)
    sign = 1.0 if direction == "maximize" else -1.0
    begun = [_arm(search, arm, runs, objective, sign) for arm in search.arms]
    worst = min((sign * value for one in begun for value in one.values), default=0.0)
    scored = {one.arm: [*(sign * value for value in one.values), *[worst] * one.num_lost] for one in begun}
    arms = tuple(replace(one, expected=sign * expected_best(scored[one.arm])) if one.values else one for one in begun)
    budget, at_budget = 0, dict[str, float]()
    if begun and all(one.values for one in begun):
        budget, best = equal_budget(scored)
        at_budget = {arm: sign * value for arm, value in best.items()}
    return Tuning(search, objective, direction, arms, budget, at_budget)


def _arm(search: Search, arm: str, runs: Sequence[Run], objective: str, sign: float) -> TunedArm:
    trials: dict[tuple[tuple[str, str], ...], list[float]] = {}
    lost = set()
    for run in runs:
        if run.job.arm != arm:
            continue
        trial = tuple(run.job.choices.items())
        values = trials.setdefault(trial, [])
        if run.state in LOST:
            lost.add(trial)
        value = value_of(run.record, objective) if run.record is not None and run.state == "done" else None
        if value is not None:
            values.append(value)
    done = {key: statistics.fmean(values) for key, values in trials.items() if len(values) == len(search.seeds)}
    best = max(done, key=lambda key: sign * done[key]) if done else None
    return TunedArm(
        arm=arm,
        num_trials=len(trials),
        num_done=len(done),
        num_lost=len(lost),
        values=tuple(done.values()),
        best=None if best is None else done[best],
        settings={} if best is None else dict(best),
        expected=np.array([]),
    )
