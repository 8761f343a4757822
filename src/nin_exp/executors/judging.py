"""How a running job learns, after each of its epochs, whether the plan ends it early."""

from __future__ import annotations

import contextlib
import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from nin_exp.executors.feed import Feed, Row
from nin_exp.records.job import Job

METRICS_FILE = "metrics.csv"
PRUNED_FILE = ".pruned"
"""In the directory of a run that is to end after its epoch."""


class Judge(ABC):
    """The plan, as a job sees it. Plain data, sent to the job's process."""

    @abstractmethod
    def is_pruned(self, rows: Sequence[Row]) -> bool:
        """Whether to end after the last of these epochs; also False when nobody answers any more."""


@dataclass(frozen=True)
class PipeJudge(Judge):
    """On one machine: the rows go through a pipe, and the job waits for the answer."""

    connection: Connection

    def is_pruned(self, rows: Sequence[Row]) -> bool:
        try:
            self.connection.send(list(rows))
            return bool(self.connection.recv())
        except (EOFError, OSError):  # the plan has gone or is ending: a signal says what to do
            return False


@dataclass(frozen=True)
class FileJudge(Judge):
    """Over a shared disk: the plan reads what the job writes, and leaves a file. The job does not wait for it, since
    the plan may be stopped and the job go on: it can be some epochs further than where it was judged.
    """

    run_dir: Path

    def is_pruned(self, rows: Sequence[Row]) -> bool:
        return (self.run_dir / PRUNED_FILE).exists()


class EpochFiles:
    """The plan's side of ``FileJudge``: reads the epochs of running jobs, and asks the feed about new ones."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._read: dict[str, tuple[int, int]] = {}  # by job: modification time and size of what was judged

    def judge_of(self, job: Job) -> FileJudge | None:
        """What a job that is about to start is given; an earlier word about it is taken back."""
        if not self._feed.watches_epochs:
            return None
        (job.run_dir / PRUNED_FILE).unlink(missing_ok=True)
        return FileJudge(job.run_dir.resolve())

    def look(self, jobs: Iterable[Job]) -> None:
        """Judge the epochs that have come since the last look."""
        if not self._feed.watches_epochs:
            return
        for job in jobs:
            path = job.run_dir / METRICS_FILE
            try:
                status = path.stat()
                stamp = (status.st_mtime_ns, status.st_size)
                if self._read.get(job.job_id) == stamp:
                    continue
                rows = _read_rows(path)
            except OSError:  # no epoch has ended
                continue
            self._read[job.job_id] = stamp
            if rows and self._feed.is_pruned(job, rows):
                with contextlib.suppress(OSError):  # the next epoch is judged as well
                    (job.run_dir / PRUNED_FILE).touch()


def _read_rows(path: Path) -> list[Row]:
    """Every epoch so far, exactly: the file is replaced whole, and holds each number in full."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
