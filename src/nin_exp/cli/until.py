"""``compare --until-decided``: paired seeds are added until every contrast has a verdict, or the most it may get."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import Any

from nin_exp.cli.flags import is_terminal
from nin_exp.cli.plan_table import print_plan
from nin_exp.cli.progress import PlanProgress
from nin_exp.cli.run_plan import finish, raise_problems, refuse_unready, stopping_at, take_back, wanted_states
from nin_exp.errors import ConfigError
from nin_exp.executors.demand import Demand
from nin_exp.executors.executor import Executor, make_executor
from nin_exp.executors.feed import Feed
from nin_exp.executors.outcome import OnOutcome, OnStart, Outcome
from nin_exp.executors.running import running_plan
from nin_exp.plan.forecast import forecast
from nin_exp.plan.growth import Growth, read_study
from nin_exp.plan.jobs import Plan
from nin_exp.plan.states import JobState, states_of
from nin_exp.records.job import Job
from nin_exp.report.collect import load_run
from nin_exp.report.contrasts import Contrast
from nin_exp.report.looks import Place, contrasts_of, look_again
from nin_exp.report.sentences import outcome_sentence

CLUSTER_STEP = 4
"""Seeds added at once where a cluster decides how many jobs run: each addition waits in its queue."""


class UntilDecided(Feed):
    """Gives the jobs of blocks with a contrast that is not decided; each block grows when its own jobs have ended.

    The looks are written down before anybody sees what they show.

    Args:
        wanted: of some jobs, those that must run.
        workers: jobs at once; None where a cluster decides.
        most: at most so many jobs now; None for all.
        say: tells a person.
    """

    is_adaptive = True

    def __init__(
        self,
        growth: Growth,
        wanted: Callable[[list[Job]], list[Job]],
        workers: int | None,
        most: int | None,
        *,
        on_start: OnStart,
        on_outcome: OnOutcome,
        on_tick: Callable[[], None],
        on_growth: Callable[[list[Job]], None],
        say: Callable[[str], None],
    ) -> None:
        self._growth, self._wanted, self._workers, self._left = growth, wanted, workers, most
        self._on_start, self._on_outcome, self._on_tick = on_start, on_outcome, on_tick
        self._on_growth, self._say = on_growth, say
        self._pending: list[Job] = []
        self._open: dict[str, set[str]] = {block: set() for block in growth.seeds}  # jobs that have not ended
        self._ended: set[str] = set()
        self._has_run: set[str] = set()  # blocks that had jobs since their last look
        self._write()
        if growth.has_fixed_past:
            self._look(list(self._open))
        for block, seeds in growth.seeds.items():
            self._add(block, growth.jobs_of(block, seeds), is_planned=True)

    @property
    def is_limited(self) -> bool:
        """Whether jobs are left that ``most`` did not let start."""
        return self._left == 0 and bool(self._pending)

    def next_job(self) -> Job | None:
        for block in self._open:
            if not self._open[block] and block not in self._ended:
                self._grow(block)
        if not self._pending or self._left == 0:
            return None
        if self._left is not None:
            self._left -= 1
        return self._pending.pop(0)

    def on_start(self, job: Job) -> None:
        self._on_start(job)

    def on_outcome(self, outcome: Outcome) -> None:
        self._open[outcome.job.block].discard(outcome.job.job_id)
        self._on_outcome(outcome)

    def on_tick(self) -> None:
        self._on_tick()

    def _add(self, block: str, jobs: list[Job], *, is_planned: bool = False) -> None:
        fresh = self._wanted(jobs)
        self._pending += fresh
        self._open[block] |= {job.job_id for job in fresh}
        if fresh:
            self._has_run.add(block)
            if not is_planned:
                self._on_growth(fresh)

    def _grow(self, block: str) -> None:
        """Look at a block whose jobs have ended; end it, or give it seeds that have something to run."""
        while not self._open[block]:
            had_jobs = block in self._has_run
            self._has_run.discard(block)
            looked = self._look([block])
            undecided = [c for c in self._contrasts().values() if c.block == block and not c.outcome.is_final]
            is_stuck = had_jobs and not any((c.arm, c.block) in looked for c in undecided)
            if undecided and is_stuck:
                self._say(f"{block}: the last seeds gave no complete pair; it gets no more now")
            jobs = self._growth.extend(block, self._step(block)) if undecided and not is_stuck else []
            if not jobs:
                self._ended.add(block)
                return
            self._write()
            self._add(block, jobs)

    def _step(self, block: str) -> int:
        """Seeds to add so that every worker has something to do."""
        if self._workers is None:
            return CLUSTER_STEP
        undecided = [b for b in self._open if b not in self._ended]
        per_seed = sum(len(self._growth.jobs_of(b, self._growth.seeds[b][:1])) for b in undecided)
        return max(1, ceil(self._workers / max(1, per_seed)))

    def _look(self, blocks: list[str]) -> set[Place]:
        comparison = self._growth.study().comparison
        assert comparison is not None
        taken = look_again(comparison, self._contrasts(), blocks)
        if taken:
            self._growth.looks |= taken
            self._write()
            shown = self._contrasts()
            for place in taken:
                self._say(f"look {len(taken[place].counts)}: {outcome_sentence(shown[place], comparison).text}")
        return set(taken)

    def _contrasts(self) -> dict[Place, Contrast]:
        study = self._growth.study()
        assert study.comparison is not None
        runs = [load_run(self._growth.whole.study_dir, job) for job in study.jobs]
        return contrasts_of(study.comparison, runs)

    def _write(self) -> None:
        self._growth.study().write(self._growth.whole.study_dir)


def run_until_decided(growth: Growth, args: Any) -> int:
    """Run the comparison; returns the exit code."""
    if args.only:
        raise ConfigError("--only leaves pairs incomplete, and --until-decided looks at pairs; take one of them out")
    whole, is_real = growth.whole, args.dry_run is None
    refuse_unready(whole, writes=is_real)
    known = read_study(whole.study_dir)
    if known is not None:
        growth.resume(known)
    plan = growth.plan()
    executor = make_executor(whole.config.executor, Demand.of(plan.jobs, len(plan.jobs)))
    workers, states = executor.num_workers, states_of(whole.jobs)
    ids = {job.job_id for job in plan.jobs}
    begun = [state for state in states if state.job.job_id in ids]
    if is_real:
        _refuse_stale(states, args)
    unfinished = [state.job for state in begun if state.state != "done"]
    if args.dry_run != "plan" and unfinished:
        raise_problems(executor.preflight(unfinished), whole)
    if not is_real:
        note = f"seeds are added until every contrast is decided, up to {growth.max_pairs} pairs each"
        plan = replace(plan, notes=(*plan.notes, note))
        print_plan(plan, begun, forecast(plan, begun, workers), workers, as_json=args.json)
        return 0
    for text in plan.notes:
        print(f"note: {text}", file=sys.stderr)
    return _grow(growth, plan, begun, unfinished, executor, args)


def _grow(
    growth: Growth, plan: Plan, begun: list[JobState], unfinished: list[Job], executor: Executor, args: Any
) -> int:
    whole, workers = growth.whole, executor.num_workers
    with running_plan(whole.study_dir), PlanProgress(plan, begun, unfinished, workers, enabled=is_terminal()) as shown:
        feed = UntilDecided(
            growth,
            lambda jobs: take_back(wanted_states(states_of(tuple(jobs)), args)),
            workers,
            args.limit,
            on_start=shown.on_start,
            on_outcome=stopping_at(shown.on_outcome, 1 if args.fail_fast else args.max_failures),
            on_tick=shown.on_tick,
            on_growth=shown.on_growth,
            say=shown.say,
        )
        stopped = executor.run_feed(feed)
    if stopped is not None:
        print("stopped; the same command goes on", file=sys.stderr)
        return stopped
    if feed.is_limited:
        print("--limit was reached; the command without it goes on", file=sys.stderr)
    plan = growth.plan()
    return finish(plan, begun, shown.outcomes, args)


def _refuse_stale(states: Any, args: Any) -> None:
    """Say it of all seeds before anything runs, and not in the middle."""
    wanted_states([state for state in states if state.state == "stale"], args, selected=[])
