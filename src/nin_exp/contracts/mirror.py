"""What a logger is: a mirror of a run. The run directory is the truth; a mirror may fail without harm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from nin_exp.records.job import Job


class Mirror(ABC):
    """Follows one run. Whatever a method raises becomes one warning, and the mirror is dropped."""

    @abstractmethod
    def start(self, job: Job, config: dict[str, Any]) -> None:
        """The run begins, or goes on. ``config`` has its secrets redacted."""

    @abstractmethod
    def log(self, metrics: dict[str, float], epoch: int) -> None:
        """An epoch has ended."""

    @abstractmethod
    def finish(self, summary: dict[str, Any], exit_code: int) -> None:
        """The run has ended; called exactly once, also when it failed."""
