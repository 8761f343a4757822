"""The inside of a job's process. Importing this module imports torch and Lightning: a parent preloads it.

At import nothing is computed and no CUDA call is made, so that a forked child can still choose its GPU and threads.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytorch_lightning  # noqa: F401  (preloaded for the jobs)

from nin_exp.errors import EXIT_BUG, NinExpError
from nin_exp.executors.judging import Judge
from nin_exp.executors.outcome import EXIT_ELSEWHERE, write_ending
from nin_exp.executors.preflight import check_jobs
from nin_exp.executors.stopping import GRACE_SECONDS
from nin_exp.records.job import Job
from nin_exp.train.run import TrainedElsewhereError, train
from nin_exp.train.signals import Stopped
from nin_exp.train.state import Progress


class Pruned(Stopped):
    """The plan has ended this job for being worse than others."""

    def __init__(self) -> None:
        super().__init__(0)


def run_job(job: Job, threads: int, gpus: tuple[str, ...] | None, judge: Judge | None) -> None:
    """Train one job in this process and end it with the job's exit code.

    Args:
        gpus: what CUDA_VISIBLE_DEVICES names for this job; None leaves it as it is.
    """
    _detach(job.run_dir / "log.txt")
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "as the system says")
    _say(f"started: process {os.getpid()}, threads {threads}, CUDA_VISIBLE_DEVICES {seen}")
    started, epochs = time.monotonic(), _Epochs(judge)
    code = EXIT_BUG
    try:
        # The process of a plan that was killed may still be saving.
        train(job, threads=threads, on_epoch=epochs.on_epoch, patience=GRACE_SECONDS + 5)
        code = 0
    except TrainedElsewhereError:
        code = EXIT_ELSEWHERE
    except NinExpError as error:
        print(f"nin-exp: error: {error}", file=sys.stderr, flush=True)  # noqa: T201  (into log.txt)
        code = error.exit_code
    except Pruned:
        write_ending(job, "pruned", 0, metrics=epochs.metrics, seconds=time.monotonic() - started, epochs=epochs.count)
        code = 0
    except Stopped as stopped:
        code = stopped.exit_code
    _say(f"ended: exit code {code}")
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: libraries' exit handlers and threads may hang, and everything is written.
    os._exit(code)


class _Epochs:
    """Asks the plan after each epoch, and ends the job when it says so."""

    def __init__(self, judge: Judge | None) -> None:
        self._judge = judge
        self.metrics: dict[str, float] = {}
        self.count = 0

    def on_epoch(self, progress: Progress, images_per_second: float | None) -> None:
        if self._judge is None:
            return
        self.count = progress.epoch
        self.metrics = {name: value for name, value in progress.rows[-1].items() if "/" in name}
        if self._judge.is_pruned(progress.rows):
            raise Pruned


def _say(text: str) -> None:
    """A line in log.txt, in the form of the run's own."""
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    print(f"{now} WORKER {text}", file=sys.stderr, flush=True)  # noqa: T201  (into log.txt)


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
