"""Which of a plan's jobs are to run now."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from nin_exp.errors import ConfigError
from nin_exp.records.job import Job


def job_label(job: Job) -> str:
    """What a job is called where a person reads: ``gap, digits, seed 3``."""
    return ", ".join([*(part for part in (job.arm, job.block) if part), f"seed {job.seed}"])


def select_jobs(jobs: Sequence[Job], patterns: Sequence[str]) -> list[Job]:
    """The jobs that fit one of the patterns; all when there are none.

    A pattern (``*``, ``?``, ``[…]``) is held against a job's id, its label, the parts of the label, and each of its
    settings as typed: ``gap*``, ``seed 3``, ``optimizer.lr=0.1``, ``gap, *, seed 0``.

    Raises:
        ConfigError: a pattern fits no job.
    """
    if not patterns:
        return list(jobs)
    names = {job.job_id: _names(job) for job in jobs}
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for found in names.values() for name in found):
            raise ConfigError(
                f"--only '{pattern}' fits none of the {len(jobs)} jobs; they are called such as "
                f"'{job_label(jobs[0])}', or by a setting such as '{names[jobs[0].job_id][-1]}'"
            )
    return [job for job in jobs if any(fnmatch.fnmatchcase(n, p) for n in names[job.job_id] for p in patterns)]


def _names(job: Job) -> list[str]:
    parts = [part for part in (job.arm, job.block) if part]
    settings = [f"{key}={value}" for key, value in job.choices.items()]
    return [job.job_id, job_label(job), *parts, f"seed {job.seed}", *settings, f"seed={job.seed}"]
