"""Check a plan's jobs in a process of its own: the driver imports no torch, and a crash there harms nothing."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from multiprocessing import forkserver, resource_tracker
from typing import Any

from nin_exp.errors import NinExpError
from nin_exp.records.job import Job

Problem = tuple[str, int, str]
"""Job id, exit code, message."""

PRELOADED = ("nin_exp.executors.worker", "nin_exp.executors.after_imports")
"""What a fork server imports, in this order, so that no job has to."""


def start_context(method: str) -> Any:
    """How processes start: ``auto`` is a fork server on Linux, whose parent imports and does nothing else."""
    if method == "auto":
        method = "forkserver" if sys.platform == "linux" else "spawn"
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["nin_exp.executors.quiet_start", *PRELOADED])
    return context


def start(context: Any, process: Any) -> None:
    """Start a process; Ctrl-C ends a fork server that is still importing without a traceback (see ``quiet_start``)."""
    if context.get_start_method() == "forkserver":
        resource_tracker.ensure_running()  # where it starts, it unblocks SIGINT
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    process.start()


def check_elsewhere(jobs: list[Job], method: str = "auto") -> list[Problem]:
    """Build every distinct model of the jobs; returns what is wrong.

    Raises:
        NinExpError: the process itself died.
    """
    from nin_exp.executors import entry

    context = start_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=entry.preflight, args=(jobs, sender), name="nin-exp-preflight", daemon=True)
    start(context, process)
    sender.close()
    try:
        problems: list[Problem] = receiver.recv()
    except EOFError as error:
        process.join()
        raise NinExpError(f"the check of the plan ended with exit code {process.exitcode}; run with --debug") from error
    process.join()
    return problems
