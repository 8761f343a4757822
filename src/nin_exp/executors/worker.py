"""The inside of a job's process. Importing this module imports torch and Lightning: a parent preloads it.

At import nothing is computed and no CUDA call is made, so that a forked child can still choose its GPU and threads.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning  # noqa: F401  (preloaded for the jobs)

from nin_exp.errors import EXIT_BUG, NinExpError
from nin_exp.executors.preflight import check_jobs
from nin_exp.records.job import Job
from nin_exp.train.run import train
from nin_exp.train.signals import Stopped


def run_job(job: Job, threads: int, gpus: tuple[str, ...] | None) -> None:
    """Train one job in this process and end it with the job's exit code.

    Args:
        gpus: what CUDA_VISIBLE_DEVICES names for this job; None leaves it as it is.
    """
    _detach(job.run_dir / "log.txt")
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    code = EXIT_BUG
    try:
        train(job, threads=threads)
        code = 0
    except NinExpError as error:
        print(f"nin-exp: error: {error}", file=sys.stderr, flush=True)  # noqa: T201  (into log.txt)
        code = error.exit_code
    except Stopped as stopped:
        code = stopped.exit_code
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: libraries' exit handlers and threads may hang, and everything is written.
    os._exit(code)


def run_preflight(jobs: list[Job], connection: Any) -> None:
    """Check jobs in this process; sends the list of (job id, exit code, message)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    problems = check_jobs(jobs)
    with contextlib.suppress(OSError):  # the driver may be gone
        connection.send(problems)
        connection.close()


def _detach(log_file: Path) -> None:
    """Leave the terminal's process group (the driver passes signals on), and write into the run's log."""
    if hasattr(os, "setsid"):
        os.setsid()
    log_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
