"""Which run of a study was best, and which configuration: the mean over its seeds."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nin_exp.records.cache import Found, read_records
from nin_exp.records.objective import direction_of, value_of
from nin_exp.records.record import Record
from nin_exp.records.study import PlannedJob, Study


@dataclass(frozen=True)
class Scored:
    """A run that is done, with its value."""

    job: PlannedJob
    run_dir: Path
    record: Record
    value: float


@dataclass(frozen=True)
class Candidate:
    """A configuration with its runs, which differ by seeds alone; the best run first."""

    runs: tuple[Scored, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(run.value for run in self.runs)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds; None for one seed."""
        return statistics.stdev(run.value for run in self.runs) if len(self.runs) > 1 else None


def scored_runs(study_dir: Path, metric: str) -> list[Scored]:
    """The study's runs that are done and have the metric.

    Raises:
        ConfigError: the metric is unknown.
        IntegrityError: ``study.json`` is damaged.
    """
    direction_of(metric)
    found = []
    jobs = Study.read(study_dir).jobs
    records = read_records(study_dir, [job.job_id for job in jobs])
    for job in jobs:
        record = records.get(job.job_id, Found(None)).record
        if record is None:
            continue
        value = value_of(record, metric) if record.status == "done" else None
        if value is not None:
            found.append(Scored(job, study_dir / job.job_id, record, value))
    return found


def rank(runs: Sequence[Scored], metric: str) -> list[Candidate]:
    """Configurations from the best mean to the worst; a tie keeps the plan's order."""
    sign = -1 if direction_of(metric) == "maximize" else 1
    groups = defaultdict(list)
    for run in runs:
        groups[run.record.group_hash].append(run)
    candidates = [Candidate(tuple(sorted(group, key=lambda r: sign * r.value))) for group in groups.values()]
    return sorted(candidates, key=lambda c: sign * c.mean)
