"""Which plans run on a study, and how to stop them. No torch: ``cancel`` must answer at once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nin_exp.executors.stopping import GRACE_SECONDS
from nin_exp.records.processes import (
    PROCESS_FILE,
    RUNNING_DIR,
    ProcessId,
    recall_process,
    remember_process,
    send_signal,
)
from nin_exp.records.record import RECORD_FILE

SUBMITTED_FILE = Path("slurm", "submitted.json")
"""Below a study's folder: SLURM's ids of its jobs."""


@contextlib.contextmanager
def running_plan(study_dir: Path) -> Iterator[None]:
    """Say in the study's folder that this process carries out a plan there."""
    path = study_dir / RUNNING_DIR / f"{socket.gethostname()}-{os.getpid()}.json"
    remember_process(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another plan runs on the same study
            path.parent.rmdir()


@dataclass(frozen=True)
class Cancelled:
    """What a cancellation found.

    Args:
        plans: drivers that were asked to stop. jobs: jobs without a driver that were asked to stop.
        queued: jobs of SLURM, submitted by a driver that has gone, that SLURM was asked to cancel.
        elsewhere: machines on which something of the study was started, and may still run.
        alive: process ids that had not ended in time.
    """

    plans: int
    jobs: int
    queued: int
    elsewhere: tuple[str, ...]
    alive: tuple[int, ...]


def cancel_study(study_dir: Path, patience: float = GRACE_SECONDS + 15) -> Cancelled:
    """Ask the study's plans on this machine to stop; their jobs save, and go on with the same command.

    Args:
        patience: seconds to wait for the ends.
    """
    deadline = time.monotonic() + patience
    plans = _processes(sorted((study_dir / RUNNING_DIR).glob("*.json")))
    asked_plans = [p for p in plans if send_signal(p, signal.SIGTERM)]
    alive = _wait(asked_plans, deadline)
    # A plan stops its own jobs; what is left has lost its plan.
    queued = 0 if plans else _cancel_queued(study_dir)
    jobs = _processes(sorted(study_dir.glob(f"*/{PROCESS_FILE}"))) if not alive else []
    asked_jobs = [p for p in jobs if send_signal(p, signal.SIGTERM)]
    alive += _wait(asked_jobs, deadline)
    elsewhere = sorted({p.host for p in (*plans, *jobs) if not p.is_here})
    return Cancelled(len(asked_plans), len(asked_jobs), queued, tuple(elsewhere), tuple(p.pid for p in alive))


def _cancel_queued(study_dir: Path) -> int:
    """Ask SLURM to cancel what a driver that has gone left in its queue; those that run save first."""
    try:
        submitted = json.loads((study_dir / SUBMITTED_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    missing = [slurm_id for job_id, slurm_id in submitted.items() if not (study_dir / job_id / RECORD_FILE).is_file()]
    if not missing or shutil.which("scancel") is None:
        return 0
    done = subprocess.run(["scancel", *missing], capture_output=True, check=False)
    return len(missing) if done.returncode == 0 else 0


def _processes(paths: list[Path]) -> list[ProcessId]:
    """The processes of some files; files of processes that have ended are removed."""
    found = []
    for path in paths:
        process = recall_process(path)
        if process is None or (process.is_here and not process.is_alive):
            path.unlink(missing_ok=True)
        else:
            found.append(process)
    return found


def _wait(processes: list[ProcessId], deadline: float) -> list[ProcessId]:
    """The processes that are still alive at the deadline."""
    alive = processes
    while (alive := [p for p in alive if p.is_alive]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return alive
