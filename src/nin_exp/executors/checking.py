"""Check a plan's jobs in a process of its own: the driver imports no torch, and a crash there harms nothing."""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any

from nin_exp.errors import NinExpError
from nin_exp.records.job import Job

Problem = tuple[str, int, str]
"""Job id, exit code, message."""


def start_context(method: str) -> Any:
    """How processes start: ``auto`` is a fork server on Linux, whose parent imports and does nothing else."""
    if method == "auto":
        method = "forkserver" if sys.platform == "linux" else "spawn"
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["nin_exp.executors.worker"])
    return context


def check_elsewhere(jobs: list[Job], method: str = "auto") -> list[Problem]:
    """Build every distinct model of the jobs; returns what is wrong.

    Raises:
        NinExpError: the process itself died.
    """
    from nin_exp.executors import entry

    context = start_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=entry.preflight, args=(jobs, sender), name="nin-exp-preflight", daemon=True)
    process.start()
    sender.close()
    try:
        problems: list[Problem] = receiver.recv()
    except EOFError as error:
        process.join()
        raise NinExpError(f"the check of the plan ended with exit code {process.exitcode}; run with --debug") from error
    process.join()
    return problems
