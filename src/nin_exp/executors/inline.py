"""Jobs in this very process, one after another."""

from __future__ import annotations

from nin_exp.cores import available_cores
from nin_exp.executors.preflight import Problem, check_jobs
from nin_exp.records.job import Job
from nin_exp.records.record import Record
from nin_exp.train.books import OnEpoch
from nin_exp.train.run import train


def run_inline(job: Job, on_epoch: OnEpoch) -> Record:
    """Train one job here, with all cores.

    Raises:
        NinExpError: what went wrong.
        Stopped: a signal came and the state is saved.
    """
    return train(job, threads=available_cores(), on_epoch=on_epoch)


def preflight_inline(job: Job) -> list[Problem]:
    """Check one job here."""
    return check_jobs([job])
