"""Several jobs side by side on this machine, each in a process of its own.

The processes start from a parent that has imported torch and Lightning and done nothing else (a fork server), so
a job is at work after some hundredths of a second. A job that dies takes only itself with it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Literal, cast

from nin_exp.executors.checking import Problem, check_elsewhere, start, start_context
from nin_exp.executors.demand import Demand
from nin_exp.executors.executor import Executor
from nin_exp.executors.feed import Feed, StopPlan, tell
from nin_exp.executors.judging import PipeJudge
from nin_exp.executors.outcome import Outcome, read_outcome
from nin_exp.executors.slots import make_slots
from nin_exp.executors.stopping import GRACE_SECONDS, StopSignals
from nin_exp.ranges import PositiveFloat, PositiveInt, validated
from nin_exp.records.job import Job


@dataclass
class _Running:
    """A job at work; ``connection`` carries its epochs when the feed watches them."""

    process: BaseProcess
    job: Job
    slot: int
    connection: Connection | None


class LocalExecutor(Executor):
    """Runs jobs in slots of this machine.

    Args:
        workers: jobs at once; None for as many as GPUs, or cores, suffice for all devices of a job.
        gpus: the GPUs that jobs may use, by index or name; None for those that are visible.
        gpus_per_job: 2 for two, 0.5 for two jobs on one, None for one a device; where there are GPUs.
        start_method: of processes; ``auto`` is forkserver on Linux, spawn elsewhere.

    Raises:
        ConfigError: the settings do not fit each other or this machine.
    """

    @validated
    def __init__(
        self,
        demand: Demand,
        *,
        workers: PositiveInt | None,
        gpus: list[int | str] | None,
        gpus_per_job: PositiveFloat | None,
        start_method: Literal["auto", "forkserver", "spawn"],
    ) -> None:
        self._start_method = start_method
        self._context = start_context(start_method)
        self._slots = make_slots(demand, workers=workers, gpus=gpus, gpus_per_job=gpus_per_job)

    @property
    def num_workers(self) -> int:
        """One for each slot."""
        return len(self._slots)

    def preflight(self, jobs: list[Job]) -> list[Problem]:
        """Build every distinct model of the jobs, in a process that starts as they will."""
        return check_elsewhere(jobs, self._start_method)

    def run_feed(self, feed: Feed) -> int | None:
        """Run what a feed gives until it has no more; returns the exit code of a stop request, or None."""
        free = list(range(len(self._slots)))
        running: dict[int, _Running] = {}
        with StopSignals() as stop:
            try:
                while True:
                    while free and not stop.is_set and (job := feed.next_job()) is not None:
                        started = self._start(job, free.pop(0), feed)
                        running[int(started.process.sentinel)] = started
                        feed.on_start(job)
                    if stop.is_set:
                        tell(feed, self._stop(running))
                        return stop.exit_code
                    if not running:
                        return None
                    self._attend(running, free, feed)
                    feed.on_tick()
            except StopPlan:
                tell(feed, self._stop(running))
                return None
            except BaseException:  # such as a full disk: the jobs save what they have, all the same
                self._stop(running)
                raise

    def _attend(self, running: dict[int, _Running], free: list[int], feed: Feed) -> None:
        """Wait a moment for epochs and ends."""
        talking = {one.connection: one for one in running.values() if one.connection is not None}
        for ready in wait([*running, *talking], timeout=0.2):
            if isinstance(ready, Connection):
                _answer(talking[ready], feed)
            else:
                ended = running.pop(cast(int, ready))
                free.append(ended.slot)
                feed.on_outcome(self._collect(ended))

    def _start(self, job: Job, number: int, feed: Feed) -> _Running:
        from nin_exp.executors import entry

        slot = self._slots[number]
        ours, theirs = self._context.Pipe() if feed.watches_epochs else (None, None)
        process: BaseProcess = self._context.Process(
            target=entry.job,
            args=(job, slot.threads, slot.gpus, None if theirs is None else PipeJudge(theirs)),
            name=f"nin-exp-{job.job_id}",
        )
        start(self._context, process)
        if theirs is not None:
            theirs.close()
        return _Running(process, job, number, ours)

    @staticmethod
    def _collect(ended: _Running, *, stopping: bool = False) -> Outcome:
        ended.process.join()
        if ended.connection is not None:
            ended.connection.close()
        code = ended.process.exitcode
        return read_outcome(ended.job, code if code is not None else 1, stopping=stopping)

    def _stop(self, running: dict[int, _Running]) -> list[Outcome]:
        """Ask every job to save and end, and end those that do not; returns how they ended."""
        for one in running.values():
            one.process.terminate()
            if one.connection is not None:
                one.connection.close()  # nobody answers any more: a job that asks goes on to its end
                one.connection = None
        deadline = time.monotonic() + GRACE_SECONDS
        for one in running.values():
            one.process.join(max(0.0, deadline - time.monotonic()))
            if one.process.is_alive():
                one.process.kill()
        return [self._collect(one, stopping=True) for one in running.values()]


def _answer(one: _Running, feed: Feed) -> None:
    """Tell a job whether to go on after the epochs it has sent."""
    assert one.connection is not None
    try:
        one.connection.send(feed.is_pruned(one.job, one.connection.recv()))
    except (EOFError, OSError):  # the process is ending; its sentinel tells how
        one.connection.close()
        one.connection = None
