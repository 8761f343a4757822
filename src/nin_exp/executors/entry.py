"""What a new process is told to call. Importing this costs nothing; torch comes inside the process."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait
from typing import Any

from nin_exp.executors.judging import Judge
from nin_exp.records.job import Job


def job(job: Job, threads: int, gpus: tuple[str, ...] | None, judge: Judge | None) -> None:
    """Train one job in this process.

    Args:
        judge: is asked after each epoch whether to end early; None for nobody.
    """
    _end_with_parent()
    from nin_exp.executors.worker import run_job

    run_job(job, threads, gpus, judge)


def preflight(jobs: list[Job], connection: Any) -> None:
    """Check jobs in this process and send what is wrong."""
    _end_with_parent()
    from nin_exp.executors.worker import run_preflight

    run_preflight(jobs, connection)


def _end_with_parent() -> None:
    """Get a SIGTERM when the plan dies, also by kill -9: no job outlives its plan.

    The fork server does not end with the plan, since its children hold its pipe: so a thread watches the plan itself.
    Where the plan is the direct parent, Linux tells even while Python is busy. Asked before anything is imported:
    imports take seconds.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    plan = multiprocessing.parent_process()
    if plan is None:
        return
    if not plan.is_alive():  # it died before anybody looked
        os._exit(1)
    threading.Thread(target=_watch, args=(plan.sentinel,), name="nin-exp-watch", daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
