"""What a plan's jobs are by now, read from their run directories."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from nin_exp.compose.check import checked_config
from nin_exp.compose.identity import code_hash
from nin_exp.data.fingerprint import changed
from nin_exp.errors import IntegrityError
from nin_exp.records.job import Job
from nin_exp.records.record import RECORD_FILE, Record

State = Literal["done", "failed", "pruned", "stale", "running", "started", "planned"]


@dataclass(frozen=True)
class JobState:
    """A job's state; ``reason`` says why it is stale or failed."""

    job: Job
    state: State
    record: Record | None = None
    reason: str = ""


class Freshness:
    """Whether records were made with today's code and data; looked up once for all jobs that share them."""

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._files: dict[tuple[Any, ...], bool] = {}

    def staleness(self, job: Job, record: Record) -> str:
        """Why a record is stale; empty when it is not."""
        if job.group_hash not in self._codes:  # seeds name no class
            config = checked_config(job.config, job.allowed_packages)
            self._codes[job.group_hash] = code_hash(config, job.allowed_packages)
        if record.code_hash != self._codes[job.group_hash]:
            return "made with other code"
        moved = [stamp["path"] for stamp in record.data.get("files", []) if self._has_changed(stamp)]
        return f"{moved[0]} has changed" if moved else ""

    def _has_changed(self, stamp: dict[str, Any]) -> bool:
        key = tuple(stamp.values())
        if key not in self._files:
            self._files[key] = bool(changed([stamp]))
        return self._files[key]


def job_state(job: Job, freshness: Freshness | None = None) -> JobState:
    """Look into one run directory.

    ``stale``: done, but with other code or data than today's. ``started``: was stopped or killed and will go on.
    ``pruned``: ended early by a search, and never as good as done.
    """
    if is_locked(job.run_dir):
        return JobState(job, "running")
    if (job.run_dir / RECORD_FILE).is_file():
        try:
            record = Record.read(job.run_dir)
        except IntegrityError as error:
            return JobState(job, "stale", reason=str(error))
        if record.status == "pruned":
            return JobState(job, "pruned", record)
        if record.status != "done":
            return JobState(job, "failed", record, record.error or record.status)
        reason = (freshness or Freshness()).staleness(job, record)
        return JobState(job, "stale" if reason else "done", record, reason)
    return JobState(job, "started" if (job.run_dir / "checkpoints").is_dir() else "planned")


def is_locked(run_dir: Path) -> bool:
    """Whether a living process trains into this directory."""
    path = run_dir / ".lock"
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def states_of(jobs: tuple[Job, ...]) -> list[JobState]:
    """The states of all jobs, in the plan's order."""
    freshness = Freshness()
    return [job_state(job, freshness) for job in jobs]


def count_states(states: list[JobState]) -> dict[State, int]:
    """How many jobs are in each state."""
    return dict(Counter(s.state for s in states))


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or in the nearest existing folder above it."""
    for candidate in (folder, *folder.parents):
        if candidate.exists():
            return candidate.is_dir() and os.access(candidate, os.W_OK | os.X_OK)
    return False
