"""What a plan will take and what it can show, said before it starts."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from nin_exp.plan.expand import Plan
from nin_exp.plan.growth import read_study
from nin_exp.plan.states import JobState
from nin_exp.records.cache import read_records
from nin_exp.records.record import Record
from nin_exp.records.study import Comparison
from nin_exp.stats.planning import FurtherPairs, detectable_effect, further_pairs, smallest_p


@dataclass(frozen=True)
class Forecast:
    """A plan's outlook.

    Args:
        seconds: time left on ``workers`` workers, or None when no run like it has a record or a cluster decides.
        smallest_p: the smallest p-value that the exact test can reach after Holm, or None without a comparison.
        effect: the detectable difference (power 0.8), or None when the spread is not known yet.
        spread: standard deviation of the paired differences; of the pairs that are done, else as stated.
        is_stated: the spread is ``compare.expected_sd``.
        seeds_for_same: that would probably (0.8) show that there is no difference in practice, if there is none.
        seeds_for_twice: that would probably decide if the true difference is twice the region of equivalence.
    """

    num_pairs: int
    num_contrasts: int
    seconds: float | None
    smallest_p: float | None
    effect: float | None
    spread: float | None = None
    is_stated: bool = False
    seeds_for_same: FurtherPairs | None = None
    seeds_for_twice: FurtherPairs | None = None


def forecast(plan: Plan, states: list[JobState], workers: int | None) -> Forecast:
    """Estimate from the records of the study's own runs; a job's like differs from it by seeds alone."""
    records = [s.record for s in states if s.state == "done" and s.record is not None]
    pending = [s.job.group_hash for s in states if s.state not in ("done", "failed")]
    seconds = _seconds(records, pending, workers)
    comparison = plan.study.comparison
    if comparison is None:
        return Forecast(0, 0, seconds, None, None)
    pairs = len(comparison.seeds)
    places = {(job.arm, job.block) for job in plan.jobs}  # some combinations may be left out
    others = [place for place in places if place[0] != comparison.baseline]
    contrasts = max(1, sum((comparison.baseline, block) in places for _, block in others))
    found = Forecast(pairs, contrasts, seconds, smallest_p(pairs, contrasts), None)
    spread = _difference_spread(records, comparison.baseline, comparison.metric)
    return _with_spread(found, comparison, spread, plan.config.compare.expected_sd)


def _with_spread(found: Forecast, comparison: Comparison, seen: float | None, stated: float | None) -> Forecast:
    """What the pairs can show, where the spread of their differences is known or stated."""
    spread = stated if seen is None else seen
    if spread is None:
        return found
    pairs, alpha, level = found.num_pairs, comparison.alpha, comparison.alpha / found.num_contrasts
    same, twice = (
        further_pairs(0, mean, spread, comparison.rope, level) if spread > 0 else None
        for mean in (0.0, 2 * comparison.rope)
    )
    return replace(
        found,
        effect=detectable_effect(pairs, spread, found.num_contrasts, alpha=alpha) if pairs > 1 else None,
        spread=spread,
        is_stated=seen is None,
        seeds_for_same=same,
        seeds_for_twice=twice,
    )


@dataclass(frozen=True)
class SearchForecast:
    """How far a search is.

    Args:
        counts: how many of its jobs have ended how.
        seconds: for the jobs that may still come, at most: pruned ones take less. None when none has ended, or when a
            cluster decides.
    """

    counts: dict[str, int]
    seconds: float | None


def forecast_search(study_dir: Path, num_jobs: int, workers: int | None) -> SearchForecast:
    """Estimate from the records of the search's own runs; at most ``num_jobs`` belong to it."""
    study = read_study(study_dir)
    names = [] if study is None else [job.job_id for job in study.jobs]
    records = [found.record for found in read_records(study_dir, names).values() if found.record is not None]
    whole = [record.wall_seconds for record in records if record.status == "done"]
    left = max(0, num_jobs - len(records))
    seconds = 0.0 if not left else None
    if left and whole and workers is not None:
        seconds = statistics.median(whole) * left / max(1, workers)
    counts: Counter[str] = Counter(record.status for record in records)
    return SearchForecast(dict(counts), seconds)


def _seconds(records: list[Record], pending: list[str], workers: int | None) -> float | None:
    known = defaultdict(list)
    for record in records:
        known[record.group_hash].append(record.wall_seconds)
    if not pending:
        return 0.0
    if workers is None or any(group not in known for group in pending):
        return None
    return sum(statistics.median(known[group]) for group in pending) / max(1, workers)


def _difference_spread(records: list[Record], baseline: str, metric: str) -> float | None:
    """Standard deviation of the paired differences of the runs that are done, pooled over contrasts."""
    values = {(r.block, r.arm, r.seed): r.metrics[metric] for r in records if metric in r.metrics}
    differences = defaultdict(list)
    for (block, arm, seed), value in values.items():
        if arm != baseline and (block, baseline, seed) in values:
            differences[block, arm].append(value - values[block, baseline, seed])
    variances = [(statistics.variance(d), len(d) - 1) for d in differences.values() if len(d) > 1]
    freedom = sum(n for _, n in variances)
    return (sum(v * n for v, n in variances) / freedom) ** 0.5 if freedom else None
