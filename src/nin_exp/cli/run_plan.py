"""Carry out a plan: look at what is there, check the rest, run it, report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from nin_exp.cli.flags import is_terminal
from nin_exp.cli.plan_table import print_plan
from nin_exp.cli.progress import PlanProgress
from nin_exp.errors import (
    EXIT_JOBS_FAILED,
    ConfigError,
    DataError,
    IntegrityError,
    NinExpError,
    OutOfMemoryError,
    RefusedError,
    StorageError,
)
from nin_exp.executors.demand import Demand
from nin_exp.executors.executor import make_executor
from nin_exp.executors.feed import StopPlan
from nin_exp.executors.outcome import OnOutcome, Outcome
from nin_exp.executors.running import running_plan
from nin_exp.plan.expand import Plan
from nin_exp.plan.forecast import forecast
from nin_exp.plan.growth import refuse_looked_at
from nin_exp.plan.select import select_jobs
from nin_exp.plan.states import JobState, is_writable, states_of
from nin_exp.records.job import Job
from nin_exp.records.record import RECORD_FILE
from nin_exp.records.study import STUDY_FILE

_CLASSES = {
    c.exit_code: c for c in (ConfigError, DataError, IntegrityError, RefusedError, StorageError, OutOfMemoryError)
}


def run_plan(plan: Plan, args: Any) -> int:
    """Run what is missing; returns the exit code."""
    refuse_unready(plan, writes=args.dry_run is None)
    refuse_looked_at(plan)
    states = states_of(plan.jobs)
    selected = select_jobs(plan.jobs, args.only)
    executor = make_executor(plan.config.executor, Demand.of(plan.jobs, len(plan.jobs)))
    workers = executor.num_workers
    outlook = forecast(plan, states, workers)
    if args.dry_run == "plan":
        print_plan(plan, states, outlook, workers, as_json=args.json)
        return 0
    if args.dry_run == "build":
        raise_problems(executor.preflight(selected[: args.limit]), plan)
        print_plan(plan, states, outlook, workers, as_json=args.json)
        return 0
    found = wanted_states(states, args, selected)[: args.limit]
    if found:
        raise_problems(executor.preflight([state.job for state in found]), plan)
    _say_notes(plan)
    plan.study.write(plan.study_dir)
    wanted = take_back(found)
    with running_plan(plan.study_dir), PlanProgress(plan, states, wanted, workers, enabled=is_terminal()) as shown:
        on_outcome = stopping_at(shown.on_outcome, 1 if args.fail_fast else args.max_failures)
        stopped = executor.run(wanted, shown.on_start, on_outcome, shown.on_tick) if wanted else None
        outcomes = shown.outcomes
    left = len(wanted) - sum(o.ending in ("done", "failed") for o in outcomes)
    if stopped is not None:
        print(f"stopped with {left} of {len(plan.jobs)} jobs left; the same command goes on", file=sys.stderr)
        return stopped
    if left and (args.fail_fast or args.max_failures is not None):
        failed = sum(o.ending in FAILED for o in outcomes)
        print(f"ended after {failed} failures with {left} jobs left; the same command goes on", file=sys.stderr)
    code = finish(plan, states, outcomes, args)
    postponed = len(_missing(states, args)) - len(wanted)
    if postponed > 0:
        print(f"{postponed} jobs were left out by --only or --limit; the command without them goes on", file=sys.stderr)
    return code


FAILED = ("failed", "killed")


def stopping_at(on_outcome: OnOutcome, most: int | None) -> OnOutcome:
    """Pass outcomes on, and stop the plan when so many jobs have failed."""
    failures = 0

    def count(outcome: Outcome) -> None:
        nonlocal failures
        on_outcome(outcome)
        failures += outcome.ending in FAILED
        if most is not None and failures >= most:
            raise StopPlan

    return count


def _say_notes(plan: Plan) -> None:
    for note in plan.notes:
        print(f"note: {note}", file=sys.stderr)


def refuse_unready(plan: Plan, *, writes: bool = True) -> None:
    """Refuse a plan whose source is missing or whose output cannot be written, before anything is read.

    Raises:
        DataError: dataset.source names nothing.
        StorageError: the study's folder cannot be made.
    """
    for source in dict.fromkeys(job.config["dataset"].get("source") for job in plan.jobs):
        if source is not None and not Path(source).expanduser().exists():
            raise DataError(
                f"dataset.source must be an existing file or folder, got '{source}'; give the path of the images"
            )
    if writes and not is_writable(plan.study_dir):
        raise StorageError(
            f"runs_dir must be a folder that can be written, got '{plan.study_dir.parent}'; set runs_dir=PATH"
        )


def wanted_states(states: list[JobState], args: Any, selected: list[Job] | None = None) -> list[JobState]:
    """The jobs that are to run now.

    Args:
        selected: the jobs to look at; None for all.

    Raises:
        ConfigError: runs are stale and ``--stale`` does not say what to do with them.
    """
    stale = [s for s in states if s.state == "stale"]
    if stale and args.stale is None:
        raise ConfigError(
            f"{len(stale)} of {len(states)} runs are stale (such as {stale[0].job.run_dir}: {stale[0].reason}); "
            "say --stale=keep to use them or --stale=rerun to train them again"
        )
    ids = None if selected is None else {job.job_id for job in selected}
    return [s for s in _missing(states, args) if ids is None or s.job.job_id in ids]


def take_back(states: list[JobState]) -> list[Job]:
    """The jobs of these states, without the records that they had: they are run from here on."""
    for state in states:
        if state.record is not None or state.state == "stale":
            _forget(state)
    return [state.job for state in states]


def _missing(states: list[JobState], args: Any) -> list[JobState]:
    """The jobs that are not done; failed and stale ones as the flags say.

    Those that another process trains come last: it may be about to end, as after a plan was killed.
    """
    kinds = {"planned", "started", "pruned", "running"}
    if args.stale == "rerun":
        kinds.add("stale")
    if args.retry_failed:
        kinds.add("failed")
    return sorted((s for s in states if s.state in kinds), key=lambda s: s.state == "running")


def _forget(state: JobState) -> None:
    """Take a record back, so that its job counts as not run; a stale one starts from the beginning."""
    (state.job.run_dir / RECORD_FILE).unlink(missing_ok=True)
    if state.state == "stale":
        for path in (state.job.run_dir / "checkpoints").glob("*"):
            path.unlink()


def raise_problems(problems: list[tuple[str, int, str]], plan: Plan) -> None:
    """Turn what a check found into one error; nothing has started.

    Raises:
        NinExpError: of the class of the first problem, with all of them.
    """
    if not problems:
        return
    labels = {job.job_id: ", ".join(p for p in (job.arm, job.block) if p) for job in plan.jobs}
    texts = [f"{labels[job_id]}: {text}" if len(plan.jobs) > 1 else text for job_id, _, text in problems]
    code = problems[0][1]
    kind: type[NinExpError] = _CLASSES.get(code, NinExpError)
    more = f" (nothing was started; {len(plan.jobs)} jobs were planned)" if len(plan.jobs) > 1 else ""
    raise kind("; ".join(dict.fromkeys(texts)) + more)


def finish(plan: Plan, states: list[JobState], outcomes: list[Outcome], args: Any) -> int:
    """Report a plan that has ended, and say what went wrong; returns the exit code.

    Args:
        states: of the jobs before the plan ran.
    """
    from nin_exp.report.analysis import analyse, summary_lines
    from nin_exp.report.collect import load_study
    from nin_exp.report.write import REPORT_DIR, write_report

    bad = [o for o in outcomes if o.ending in (*FAILED, "pruned")]
    elsewhere = sum(o.ending == "elsewhere" for o in outcomes)
    for outcome in bad:  # before the report, which may not be written on a full disk
        print(f"{outcome.ending}: {outcome.job.run_dir}: {outcome.error}", file=sys.stderr)
    if not (plan.study_dir / STUDY_FILE).is_file():
        raise StorageError(f"{plan.study_dir} was removed while its plan ran; run the command again")
    results = analyse(load_study(plan.study_dir))
    paths = write_report(results, plan.study_dir / REPORT_DIR)
    if plan.config.logger:
        from nin_exp.cli.wandb_study import log_study

        log_study(results, plan.config.logger, plan.study_dir)
    failed_before = sum(s.state == "failed" for s in states) if not args.retry_failed else 0
    if args.json:
        failed = [o.job.job_id for o in bad]
        found = {"study": str(plan.study_dir), "report": str(paths.html), "failed": failed, "notes": list(plan.notes)}
        print(json.dumps(found))
    else:
        print(*summary_lines(results), f"report: {paths.html}", sep="\n")
    if elsewhere:
        print(f"{elsewhere} jobs are being trained by another process; run the command again later", file=sys.stderr)
    if failed_before:
        print(f"{failed_before} jobs failed before and were not tried again; use --retry-failed", file=sys.stderr)
    return EXIT_JOBS_FAILED if bad or failed_before or elsewhere else 0


__all__ = [
    "FAILED",
    "finish",
    "raise_problems",
    "refuse_unready",
    "run_plan",
    "stopping_at",
    "take_back",
    "wanted_states",
]
