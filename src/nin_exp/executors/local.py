"""Several jobs side by side on this machine, each in a process of its own.

The processes start from a parent that has imported torch and Lightning and done nothing else (a fork server), so
a job is at work after some hundredths of a second. A job that dies takes only itself with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from nin_exp.config import ExecutorConfig
from nin_exp.errors import NinExpError
from nin_exp.executors.feed import Feed, ListFeed, StopPlan
from nin_exp.executors.outcome import OnOutcome, OnStart, Outcome, read_outcome
from nin_exp.executors.slots import Slot, make_slots
from nin_exp.executors.stopping import GRACE_SECONDS, StopSignals
from nin_exp.records.job import Job


@dataclass
class _Running:
    """A job at work; ``connection`` carries its epochs when the feed watches them."""

    process: BaseProcess
    job: Job
    slot: int
    connection: Connection | None


class LocalExecutor:
    """Runs jobs in the given slots."""

    def __init__(self, settings: ExecutorConfig, slots: Sequence[Slot]) -> None:
        method = settings.start_method
        if method == "auto":
            method = "forkserver" if sys.platform == "linux" else "spawn"
        self._context: Any = multiprocessing.get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(["nin_exp.executors.worker"])
        self._slots = list(slots)

    def preflight(self, jobs: list[Job]) -> list[tuple[str, int, str]]:
        """Build every distinct model of the jobs in a process of its own; returns (job id, exit code, message)."""
        from nin_exp.executors import entry

        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=entry.preflight, args=(jobs, sender), name="nin-exp-preflight", daemon=True
        )
        process.start()
        sender.close()
        try:
            problems: list[tuple[str, int, str]] = receiver.recv()
        except EOFError as error:
            process.join()
            raise NinExpError(
                f"the check of the plan ended with exit code {process.exitcode}; run with --debug"
            ) from error
        process.join()
        return problems

    def run(
        self, jobs: Sequence[Job], on_start: OnStart, on_outcome: OnOutcome, on_tick: Callable[[], None]
    ) -> int | None:
        """Run all jobs; returns the exit code of a stop request (Ctrl-C, SIGTERM), or None.

        Args:
            on_outcome: may raise StopPlan.
            on_tick: called several times a second, for a display.
        """
        return self.run_feed(ListFeed(jobs, on_start, on_outcome, on_tick))

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
                        self._stop(running, feed)
                        return stop.exit_code
                    if not running:
                        return None
                    self._attend(running, free, feed)
                    feed.on_tick()
            except StopPlan:
                self._stop(running, feed)
                return None

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
            target=entry.job, args=(job, slot.threads, slot.gpus, theirs), name=f"nin-exp-{job.job_id}"
        )
        process.start()
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

    def _stop(self, running: dict[int, _Running], feed: Feed) -> None:
        """Ask every job to save and end; end those that do not."""
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
            with contextlib.suppress(StopPlan):
                feed.on_outcome(self._collect(one, stopping=True))


def _answer(one: _Running, feed: Feed) -> None:
    """Tell a job whether to go on after the epochs it has sent."""
    assert one.connection is not None
    try:
        one.connection.send(feed.is_pruned(one.job, one.connection.recv()))
    except (EOFError, OSError):  # the process is ending; its sentinel tells how
        one.connection.close()
        one.connection = None


__all__ = ["LocalExecutor", "Slot", "make_slots"]
