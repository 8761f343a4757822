"""What a new process is told to call. Importing this costs nothing; torch comes inside the process."""

from __future__ import annotations

from typing import Any

from nin_exp.records.job import Job


def job(job: Job, threads: int, gpus: tuple[str, ...] | None) -> None:
    """Train one job in this process."""
    from nin_exp.executors.worker import run_job

    run_job(job, threads, gpus)


def preflight(jobs: list[Job], connection: Any) -> None:
    """Check jobs in this process and send what is wrong."""
    from nin_exp.executors.worker import run_preflight

    run_preflight(jobs, connection)
