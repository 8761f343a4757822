"""One arm in one block: its scores over the seeds, and what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from nin_exp.report.collect import Run, number
from nin_exp.stats.scores import ScoreSummary, summarise

LABEL_SEPARATOR = ", "


@dataclass(frozen=True)
class Cost:
    """What an arm costs in a block; means over its finished runs, None where no record says.

    Args:
        params_total, params_head, macs: smallest and largest over the seeds, which differ by mistake only.
        peak_memory_bytes: the largest of the runs.
    """

    params_total: tuple[int, int] | None
    params_head: tuple[int, int] | None
    macs: tuple[int, int] | None
    images_per_second: ScoreSummary | None
    wall_seconds: ScoreSummary | None
    peak_memory_bytes: int | None

    @property
    def head_share(self) -> float | None:
        """Share of the parameters that stand in the head, in [0, 1]."""
        if self.params_head is None or self.params_total is None or self.params_total[1] == 0:
            return None
        return self.params_head[1] / self.params_total[1]


@dataclass(frozen=True)
class Cell:
    """An arm in a block.

    Args:
        scores: score by seed of the runs that are done and have the metric.
        summary: of the scores; None without any.
        states: how many runs are in each state.
        flags: how many runs carry each flag, such as ``dead_head``.
    """

    arm: str
    block: str
    runs: tuple[Run, ...]
    scores: dict[int, float]
    summary: ScoreSummary | None
    states: dict[str, int]
    flags: dict[str, int]
    cost: Cost


def describe_cell(arm: str, block: str, runs: Iterable[Run], metric: str | None) -> Cell:
    """Summarise an arm's runs in a block.

    Args:
        metric: such as ``test/acc``; None where no run has one.
    """
    runs = tuple(runs)
    done = [run for run in runs if run.state == "done"]
    scores = {}
    if metric is not None:
        scores = {run.job.seed: score for run in done if (score := run.score(metric)) is not None}
    records = [run.record for run in runs if run.record is not None]
    return Cell(
        arm=arm,
        block=block,
        runs=runs,
        scores=scores,
        summary=summarise(list(scores.values())) if scores else None,
        states=dict(Counter(run.state for run in runs)),
        flags=dict(sorted(Counter(flag for record in records for flag in record.flags).items())),
        cost=_cost(done),
    )


def _cost(done: list[Run]) -> Cost:
    records = [run.record for run in done if run.record is not None]

    def values(name: str) -> list[float]:
        read = attrgetter(name)
        return [value for value in (number(read(record)) for record in records) if value is not None]

    def extent(name: str) -> tuple[int, int] | None:
        read = attrgetter(name)
        found = [value for value in map(number, set(map(read, records))) if value is not None]
        return (round(min(found)), round(max(found))) if found else None

    def summary(name: str) -> ScoreSummary | None:
        found = values(name)
        return summarise(found) if found else None

    memory = extent("peak_memory_bytes")
    return Cost(
        params_total=extent("params_total"),
        params_head=extent("params_head"),
        macs=extent("macs"),
        images_per_second=summary("images_per_second"),
        wall_seconds=summary("wall_seconds"),
        peak_memory_bytes=None if memory is None else memory[1],
    )


def group_of(run: Run, varied: Iterable[str]) -> tuple[str, str]:
    """Arm and block of a run; outside comparisons, the varied choices and the data set.

    Args:
        varied: the choices that differ between the study's jobs, without seeds and data set.
    """
    dataset = run.record.dataset if run.record is not None else run.job.choices.get("dataset", "")
    choices = LABEL_SEPARATOR.join(f"{key}={run.job.choices[key]}" for key in varied if key in run.job.choices)
    head = run.record.head if run.record is not None else ""
    return run.job.arm or choices or head or "run", run.job.block or dataset
