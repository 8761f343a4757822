"""Where an executor takes its jobs from, and whom it tells how they go."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from nin_exp.executors.outcome import OnOutcome, OnStart, Outcome
from nin_exp.records.job import Job

Row = dict[str, float]


class StopPlan(Exception):
    """Raised by a feed that has seen enough: running jobs are asked to save and end, no other starts."""


class Feed(ABC):
    """A source of jobs.

    Args:
        watches_epochs: each epoch's row is sent here, and may end its job.
        is_adaptive: later jobs depend on what earlier ones gave: none is asked for before a worker is free.
    """

    watches_epochs = False
    is_adaptive = False

    @abstractmethod
    def next_job(self) -> Job | None:
        """A job for a free slot; None when there is none now. With none running either, the plan has ended."""

    @abstractmethod
    def on_start(self, job: Job) -> None:
        """A job's process has started."""

    def is_pruned(self, job: Job, rows: Sequence[Row]) -> bool:
        """Whether to end a job that has come so far; ``rows`` holds a metrics row for each epoch."""
        return False

    @abstractmethod
    def on_outcome(self, outcome: Outcome) -> None:
        """A job's process has ended."""

    @abstractmethod
    def on_tick(self) -> None:
        """Called several times a second, for a display."""


def tell(feed: Feed, outcomes: Iterable[Outcome]) -> None:
    """Tell a feed how the jobs of a plan that is being stopped have ended."""
    for outcome in outcomes:
        with contextlib.suppress(StopPlan):
            feed.on_outcome(outcome)


class ListFeed(Feed):
    """A plan's jobs, in its order."""

    def __init__(
        self, jobs: Sequence[Job], on_start: OnStart, on_outcome: OnOutcome, on_tick: Callable[[], None]
    ) -> None:
        self._pending = deque(jobs)
        self._on_start, self._on_outcome, self._on_tick = on_start, on_outcome, on_tick

    def next_job(self) -> Job | None:
        return self._pending.popleft() if self._pending else None

    def on_start(self, job: Job) -> None:
        self._on_start(job)

    def on_outcome(self, outcome: Outcome) -> None:
        self._on_outcome(outcome)

    def on_tick(self) -> None:
        self._on_tick()
