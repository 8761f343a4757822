"""Train one job: from its configuration to its record."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nin_exp.build import build
from nin_exp.compose.check import checked_config
from nin_exp.compose.composer import to_yaml
from nin_exp.config import ExperimentConfig
from nin_exp.contracts.mirror import Mirror
from nin_exp.errors import ConfigError, DivergedError, NinExpError, StorageError
from nin_exp.records.files import remove_half_written, write_text
from nin_exp.records.job import Job
from nin_exp.records.processes import PROCESS_FILE, remember_process
from nin_exp.records.record import RECORD_FILE, Record
from nin_exp.records.redact import redact, redact_text
from nin_exp.train.books import OnEpoch
from nin_exp.train.distributed.group import ALONE
from nin_exp.train.distributed.job import DistributedSession
from nin_exp.train.failure import as_failure
from nin_exp.train.loggers import Mirrors
from nin_exp.train.provenance import git_state, versions
from nin_exp.train.run_files import LOCK_FILE
from nin_exp.train.run_log import logged
from nin_exp.train.session import Session
from nin_exp.train.signals import Stopped, StopRequest
from nin_exp.train.state import Progress

log = logging.getLogger("nin_exp")


class TrainedElsewhereError(ConfigError):
    """Another process trains this job."""


def train(job: Job, *, threads: int, on_epoch: OnEpoch = lambda progress, rate: None, patience: float = 1.0) -> Record:
    """Train a job, evaluate it, and write its record; go on from its last checkpoint when there is one.

    A job that is done is not trained again: its record is returned.

    Args:
        threads: for torch; a job that goes on uses those it started with.
        patience: seconds to wait for another process that trains this job. Never 0: who only looks whether a job is
            being trained holds its lock for a moment.

    Raises:
        TrainedElsewhereError: another process trains the job.
        NinExpError: what went wrong; a record of the failure has been written, unless nothing could be.
        Stopped: a signal came; the state is saved and no record written.
    """
    config = checked_config(job.config, job.allowed_packages)
    stop = StopRequest()
    with _locked(job.run_dir, patience), logged(job.run_dir, sys.stderr):
        record = _done(job.run_dir)
        if record is not None:
            return record
        stop.install()
        try:
            return _train(job, config, threads, stop, on_epoch)
        finally:
            stop.uninstall()


def _train(job: Job, config: ExperimentConfig, threads: int, stop: StopRequest, on_epoch: OnEpoch) -> Record:
    started, clock = datetime.now(UTC), time.perf_counter()
    shown = redact(asdict(config))
    write_text(job.run_dir / "config.yaml", to_yaml(shown))
    nodes = config.logger.items()
    mirrors = Mirrors([build(n, f"logger.{k}", Mirror, allowed_packages=job.allowed_packages) for k, n in nodes])
    mirrors.start(job, shown)
    session = _session(job, config, threads, stop)

    def ended_epoch(progress: Progress, rate: float | None) -> None:
        mirrors.log({k: v for k, v in progress.rows[-1].items() if k != "epoch"}, progress.epoch)
        log.info("%s", " ".join(f"{k}={v:.6g}" for k, v in progress.rows[-1].items()))
        on_epoch(progress, rate)

    ending = _Ending()
    try:
        outcome = session.run(ended_epoch)
        record = _record(job, config, started, clock, session, outcome)
        record.write(job.run_dir)
        ending = _Ending(0, {**record.metrics, "params_total": record.params_total})
        return record
    except Exception as error:
        failure = as_failure(error)
        ending = _Ending(failure.exit_code)
        log.exception("the run failed")
        if (job.run_dir / LOCK_FILE).exists():  # else the directory was removed, and stays so
            with contextlib.suppress(StorageError):
                _record(job, config, started, clock, session, {}, failure).write(job.run_dir)
        if failure is error:
            raise
        raise failure from error
    except Stopped as stopped:  # mirrors are told, no record is written
        ending = _Ending(stopped.exit_code)
        raise
    finally:
        mirrors.finish(ending.summary, ending.exit_code)


def _session(job: Job, config: ExperimentConfig, threads: int, stop: StopRequest) -> Session | DistributedSession:
    if config.trainer.devices > 1:
        return DistributedSession(job, config, threads, stop)
    return Session(job, config, threads, stop, ALONE)


@dataclass(frozen=True)
class _Ending:
    """What the mirrors are told at the end."""

    exit_code: int = 1
    summary: dict[str, Any] = field(default_factory=dict)


def _record(
    job: Job,
    config: ExperimentConfig,
    started: datetime,
    clock: float,
    session: Session | DistributedSession,
    outcome: dict[str, Any],
    failure: NinExpError | None = None,
) -> Record:
    earlier = sum(t["train_seconds"] + t["eval_seconds"] for t in session.resumed_times)
    return Record(
        job_id=job.job_id,
        study=job.study,
        status="done" if failure is None else "diverged" if isinstance(failure, DivergedError) else "failed",
        exit_code=0 if failure is None else failure.exit_code,
        config_hash=job.config_hash,
        group_hash=job.group_hash,
        seed=config.seed,
        dataset=config.choices.get("dataset", ""),
        backbone=config.choices.get("backbone", ""),
        head=config.choices.get("head", ""),
        optimizer=config.choices.get("optimizer", ""),
        arm=job.arm,
        block=job.block,
        metrics=outcome.get("metrics", {}),
        wall_seconds=time.perf_counter() - clock + earlier,
        started_at=started.isoformat(timespec="seconds"),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        git=git_state(),
        versions=versions(),
        command=redact_text(job.command),
        seeds={n: getattr(config, f"{n}_seed") for n in ("split", "init", "order", "augment")},
        error=None if failure is None else redact_text(str(failure)),
        **session.facts(),
    )


def _done(run_dir: Path) -> Record | None:
    if not (run_dir / RECORD_FILE).is_file():
        return None
    record = Record.read(run_dir)
    return record if record.status == "done" else None


@contextlib.contextmanager
def _locked(run_dir: Path, patience: float) -> Iterator[None]:
    """Hold a run directory; what a process that was killed left half written there goes."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run_dir / LOCK_FILE)
        lock.acquire(timeout=patience)
        remember_process(run_dir / PROCESS_FILE)
        remove_half_written(run_dir)
    except Timeout as error:
        message = f"{run_dir} is being trained by another process; wait for it, or stop it"
        raise TrainedElsewhereError(message) from error
    except OSError as error:
        raise StorageError(
            f"{run_dir} cannot be written: {error.strerror}; set runs_dir to a folder that can"
        ) from error
    try:
        yield
    finally:
        (run_dir / PROCESS_FILE).unlink(missing_ok=True)
        (run_dir / LOCK_FILE).unlink(missing_ok=True)
        lock.release()


__all__ = ["OnEpoch", "TrainedElsewhereError", "train"]
