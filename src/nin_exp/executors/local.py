"""Several jobs side by side on this machine, each in a process of its own.

The processes start from a parent that has imported torch and Lightning and done nothing else (a fork server), so
a job is at work after some hundredths of a second. A job that dies takes only itself with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from nin_exp.config import ExecutorConfig
from nin_exp.errors import EXIT_SIGINT, EXIT_SIGTERM, NinExpError
from nin_exp.executors.outcome import OnOutcome, OnStart, Outcome, read_outcome
from nin_exp.records.job import Job

_GRACE_SECONDS = 30.0
_MEMORY_PER_WORKER = 2 * 2**30


@dataclass(frozen=True)
class Slot:
    """A place where one job runs: its share of the cores, and its GPUs where there are any."""

    threads: int
    gpus: tuple[str, ...] | None


def make_slots(settings: ExecutorConfig, num_jobs: int, *, use_gpus: bool) -> list[Slot]:
    """Share out this machine: one slot for each group of GPUs, else one for each core (memory permitting)."""
    gpus = visible_gpus() if use_gpus else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if gpus:
        size = min(settings.gpus_per_job, len(gpus))
        groups = [tuple(gpus[i : i + size]) for i in range(0, len(gpus) - size + 1, size)]
        groups = groups[: settings.workers or len(groups)]
        return [Slot(max(1, cores // len(groups)), group) for group in groups]
    fitting = max(1, _free_memory() // _MEMORY_PER_WORKER)
    workers = settings.workers or max(1, min(cores, num_jobs, fitting))
    return [Slot(max(1, cores // workers), None)] * workers


def visible_gpus() -> list[str]:
    """Ids of the GPUs this process may use, found without torch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [g.strip() for g in named.split(",") if g.strip() and g.strip() != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode == 0:
            return done.stdout.split()
    return []


def _free_memory() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 8 * 2**30


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
        self._stop_signal: int | None = None

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
            on_tick: called several times a second, for a display.
        """
        pending = list(jobs)
        free = list(range(len(self._slots)))
        running: dict[int, tuple[BaseProcess, Job, int]] = {}
        with self._signals():
            while pending or running:
                while pending and free and self._stop_signal is None:
                    job, slot = pending.pop(0), free.pop(0)
                    process = self._start(job, self._slots[slot])
                    running[int(process.sentinel)] = (process, job, slot)
                    on_start(job)
                if self._stop_signal is not None:
                    self._stop(running, on_outcome)
                    return EXIT_SIGINT if self._stop_signal == signal.SIGINT else EXIT_SIGTERM
                for sentinel in wait(list(running), timeout=0.2):
                    process, job, slot = running.pop(cast(int, sentinel))
                    on_outcome(self._collect(process, job))
                    free.append(slot)
                on_tick()
        return None

    def _start(self, job: Job, slot: Slot) -> BaseProcess:
        from nin_exp.executors import entry

        process: BaseProcess = self._context.Process(
            target=entry.job, args=(job, slot.threads, slot.gpus), name=f"nin-exp-{job.job_id}"
        )
        process.start()
        return process

    @staticmethod
    def _collect(process: BaseProcess, job: Job, *, stopping: bool = False) -> Outcome:
        process.join()
        return read_outcome(job, process.exitcode if process.exitcode is not None else 1, stopping=stopping)

    def _stop(self, running: dict[int, tuple[BaseProcess, Job, int]], on_outcome: OnOutcome) -> None:
        """Ask every job to save and end; end those that do not."""
        for process, _, _ in running.values():
            process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process, job, _ in running.values():
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
            on_outcome(self._collect(process, job, stopping=True))

    @contextlib.contextmanager
    def _signals(self) -> Any:
        numbers = [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)]
        previous = {number: signal.signal(number, self._remember) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _remember(self, number: int, frame: Any) -> None:
        if self._stop_signal == signal.SIGINT and number == signal.SIGINT:
            os._exit(EXIT_SIGINT)  # the second Ctrl-C; the jobs are told by the system
        self._stop_signal = number
