"""How a job ended, as its process and its run directory tell."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from nin_exp.errors import EXIT_PREEMPTED, EXIT_SIGINT, EXIT_SIGTERM, IntegrityError
from nin_exp.records.job import Job
from nin_exp.records.record import RECORD_FILE, Record
from nin_exp.records.redact import redact_text

Ending = Literal["done", "failed", "pruned", "stopped", "killed", "elsewhere"]
EXIT_ELSEWHERE = 76  # from a job's process to its plan: another process trains the job; no command ends with it
_STOPPED = (EXIT_PREEMPTED, EXIT_SIGINT, EXIT_SIGTERM)
# From outside or by the system (also when memory runs out): the job is not at fault and may go on later.
_OUTSIDE_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Outcome:
    """A job's end; ``killed`` and ``stopped`` jobs go on when the plan is run again.

    ``elsewhere``: another plan was training the job, and had not ended after some patience.
    """

    job: Job
    ending: Ending
    exit_code: int
    error: str = ""

    def because(self, error: str) -> Outcome:
        """The same end with another reason."""
        return replace(self, error=error)


OnStart = Callable[[Job], None]
OnOutcome = Callable[[Outcome], None]


def read_outcome(job: Job, exit_code: int, *, stopping: bool = False) -> Outcome:
    """Judge a job's process by its exit code and record; a crash that left no record gets one.

    Args:
        exit_code: as ``multiprocessing`` gives it: the negative signal number after a signal.
        stopping: the plan was being stopped: an end without a record is no failure, the signal may have come
            before the job could listen for it.
    """
    record = _record(job)
    if record is not None and record.status == "done":
        return Outcome(job, "done", 0)
    if record is not None and record.status == "pruned":
        return Outcome(job, "pruned", 0)
    if exit_code == EXIT_ELSEWHERE:  # whatever lies there is the other's
        return Outcome(job, "elsewhere", exit_code)
    if record is not None and exit_code == record.exit_code:
        return Outcome(job, "failed", exit_code, record.error or "")
    if exit_code in _STOPPED or stopping:
        return Outcome(job, "stopped", exit_code)
    if exit_code < 0 and -exit_code in _OUTSIDE_SIGNALS:
        name = signal.Signals(-exit_code).name
        cause = ""
        if -exit_code == signal.SIGKILL:
            cause = ": probably memory ran out; lower executor.workers or trainer.batch_size"
        return Outcome(job, "killed", exit_code, f"its process was ended by {name}{cause}")
    name = f"signal {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exit code {exit_code}"
    error = f"its process ended with {name} and left no record; see {job.run_dir / 'log.txt'}"
    if job.run_dir.exists():  # what somebody has removed stays so
        write_ending(job, "failed", 1 if exit_code <= 0 else exit_code, error=error)
    return Outcome(job, "failed", exit_code, error)


def write_ending(
    job: Job,
    status: Literal["failed", "pruned"],
    exit_code: int,
    *,
    error: str | None = None,
    metrics: dict[str, float] | None = None,
    seconds: float = 0.0,
    epochs: int = 0,
) -> None:
    """Write the record of a job whose process ended without writing one, or that was ended early."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    choices = job.config["choices"]
    record = Record(
        job_id=job.job_id,
        study=job.study,
        status=status,
        exit_code=exit_code,
        config_hash=job.config_hash,
        group_hash=job.group_hash,
        seed=job.seed,
        **{group: choices[group] for group in ("dataset", "backbone", "head", "optimizer")},
        arm=job.arm,
        block=job.block,
        metrics={} if metrics is None else metrics,
        epochs=epochs,
        params_total=None,
        params_head=None,
        macs=None,
        images_per_second=None,
        wall_seconds=seconds,
        peak_memory_bytes=None,
        started_at=now,
        finished_at=now,
        git={},
        versions={},
        command=redact_text(job.command),
        error=None if error is None else redact_text(error),
    )
    record.write(job.run_dir)


def _record(job: Job) -> Record | None:
    if not (job.run_dir / RECORD_FILE).is_file():
        return None
    try:
        return Record.read(job.run_dir)
    except IntegrityError:
        return None
