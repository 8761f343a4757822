"""The work of one rank: a session of its own, and words to the job about its epochs and its end."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TextIO

from nin_exp.compose.check import checked_config
from nin_exp.records.job import Job
from nin_exp.train.distributed.group import Group, join_store
from nin_exp.train.distributed.stop import RankStopRequest
from nin_exp.train.distributed.verdict import Ending
from nin_exp.train.failure import as_failure
from nin_exp.train.host import pick_device
from nin_exp.train.run_log import logged
from nin_exp.train.session import Session
from nin_exp.train.signals import Stopped
from nin_exp.train.state import Progress

log = logging.getLogger("nin_exp")


def work(order: dict[str, Any], stop: RankStopRequest, console: TextIO) -> int:
    """Train; returns the exit code.

    Args:
        order: what the job has said: ``job threads rank size port``.
        console: for what a user should see.
    """
    job = _job(order["job"])
    group = Group(order["rank"], order["size"], join_store(order["port"]))
    with logged(job.run_dir, console if group.is_first else None):
        if not group.is_first:  # what all see alike, one says
            log.setLevel(logging.ERROR)
            logging.getLogger("py.warnings").setLevel(logging.ERROR)
        return _Rank(job, group, stop).work(order["threads"])


def _job(values: dict[str, Any]) -> Job:
    changed = {"run_dir": Path(values["run_dir"]), "allowed_packages": tuple(values["allowed_packages"])}
    return Job(**{**values, **changed})


class _Rank:
    """One rank, which tells the job what it does."""

    def __init__(self, job: Job, group: Group, stop: RankStopRequest) -> None:
        self._job, self._group, self._stop = job, group, stop
        self._session: Session | None = None
        self._epochs = 0

    def work(self, threads: int) -> int:
        try:
            config = checked_config(self._job.config, self._job.allowed_packages)
            self._stop.ask(self._group, pick_device(config.trainer.accelerator))
            self._session = Session(self._job, config, threads, self._stop, self._group)
            outcome = self._session.run(self._tell_epoch)
        except Stopped as stopped:
            return self._tell_end("stopped", stopped.exit_code, str(stopped))
        except Exception as error:
            log.exception("rank %d failed", self._group.rank)
            failure = as_failure(error)
            return self._tell_end("failed", failure.exit_code, str(failure))
        return self._tell_end("done", 0, "", outcome)

    def _told(self) -> dict[str, Any]:
        if self._session is None or not self._group.is_first:
            return {}
        return {"facts": self._session.facts(), "resumed_times": self._session.resumed_times}

    def _tell_epoch(self, progress: Progress, images_per_second: float | None) -> None:
        assert self._group.store is not None
        if self._group.is_first:
            told = json.dumps({**self._told(), "progress": progress.state_dict()})
            self._group.store.set(f"epoch/{self._epochs}", told)
            self._epochs += 1

    def _tell_end(
        self,
        kind: Literal["done", "stopped", "failed"],
        exit_code: int,
        message: str,
        outcome: dict[str, Any] | None = None,
    ) -> int:
        """Leave the last word where the job finds it; before this process ends, and others notice that it has."""
        assert self._group.store is not None
        ending = Ending(self._group.rank, kind, exit_code, message, {} if outcome is None else outcome, self._told())
        number = self._group.store.add("endings", 1)
        self._group.store.set(f"ending/{number}", json.dumps(asdict(ending)))
        return exit_code
