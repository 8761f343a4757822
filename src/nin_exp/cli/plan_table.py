"""What ``--dry-run`` prints."""

from __future__ import annotations

import json
from dataclasses import asdict

from nin_exp.cli.progress import concurrency
from nin_exp.plan.expand import Plan
from nin_exp.plan.forecast import Forecast
from nin_exp.plan.states import JobState, count_states
from nin_exp.records.study import Comparison
from nin_exp.stats.planning import POWER, FurtherPairs


def print_plan(plan: Plan, states: list[JobState], outlook: Forecast, workers: int | None, *, as_json: bool) -> None:
    """Print the jobs, how far they are, and what the plan can show."""
    if as_json:
        jobs = [{**asdict(p), "state": s.state} for p, s in zip(plan.study.jobs, states, strict=True)]
        outline = {
            "study": str(plan.study_dir),
            "workers": workers,
            "forecast": asdict(outlook),
            "jobs": jobs,
            "notes": list(plan.notes),
        }
        print(json.dumps(outline, indent=1))
        return
    counts = ", ".join(f"{n} {state}" for state, n in count_states(states).items())
    print(f"study   {plan.study_dir}")
    print(f"jobs    {len(plan.jobs)} ({counts}), {concurrency(workers)}")
    print(f"time    {duration(outlook.seconds)}")
    comparison = plan.study.comparison
    if comparison is not None:
        print(f"arms    {', '.join(comparison.arms)} (baseline {comparison.baseline}, by {', '.join(comparison.by)})")
        print(f"blocks  {', '.join(comparison.blocks)}")
        print(f"pairs   {outlook.num_pairs} a contrast, {outlook.num_contrasts} contrasts")
        print(f"p       smallest reachable after Holm: {outlook.smallest_p:.2g}{_too_few(outlook, comparison.alpha)}")
        for line in _power(outlook, comparison):
            print(line)
    for note in plan.notes:
        print(f"note    {note}")
    print()
    width = max(len(job.block) for job in plan.jobs)
    arm_width = max(len(job.arm) for job in plan.jobs)
    for state in states:
        job = state.job
        print(f"  {job.job_id}  {job.block:<{width}}  {job.arm:<{arm_width}}  seed {job.seed:<4} {state.state}")


def _too_few(outlook: Forecast, alpha: float) -> str:
    if outlook.smallest_p is None or outlook.smallest_p <= alpha:
        return ""
    return f" - too few pairs for p < {alpha:g}, take more seeds"


def _power(outlook: Forecast, comparison: Comparison) -> list[str]:
    """What the pairs will be able to show."""
    if outlook.spread is None:
        hint = "unknown until some pairs are done; or state their deviation with compare.expected_sd"
        return [f"effect  detectable with power {POWER:g}: {hint}"]
    scale, unit = (100, " points") if comparison.metric.endswith("/acc") else (1, "")
    source = "stated" if outlook.is_stated else "seen"
    effect = "no effect with one pair" if outlook.effect is None else f"{scale * outlook.effect:.2g}{unit}"
    lines = [
        f"effect  detectable with power {POWER:g}: {effect} (deviation of a pair's difference, {source}: "
        f"{scale * outlook.spread:.2g}{unit})"
    ]
    if outlook.seeds_for_same is not None and outlook.seeds_for_twice is not None:
        rope = f"{scale * comparison.rope:g}{unit}"
        lines.append(
            f"seeds   for a probable decision: {_seeds(outlook.seeds_for_same)} if the arms are equal, "
            f"{_seeds(outlook.seeds_for_twice)} if they are twice the region of {rope} apart"
        )
    return lines


def _seeds(needed: FurtherPairs) -> str:
    return f"over {needed.pairs}" if needed.is_bound else str(needed.pairs)


def duration(seconds: float | None) -> str:
    """An estimate, in words."""
    if seconds is None:
        return "unknown (no run like these has a record yet, or a cluster decides)"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
