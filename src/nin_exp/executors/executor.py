"""What an executor is: it runs a plan's jobs, each as a process of its own, somewhere."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

from nin_exp.config import Node
from nin_exp.errors import ConfigError
from nin_exp.executors.checking import Problem, check_elsewhere
from nin_exp.executors.demand import Demand
from nin_exp.executors.feed import Feed, ListFeed
from nin_exp.executors.outcome import OnOutcome, OnStart
from nin_exp.records.job import Job


class Executor(ABC):
    """Runs jobs. Built as ``Class(demand, **settings)``, from what a plan needs; nothing is started then."""

    @property
    @abstractmethod
    def num_workers(self) -> int | None:
        """How many jobs run at once; None where a cluster decides."""

    def preflight(self, jobs: list[Job]) -> list[Problem]:
        """Build every distinct model of the jobs, in a process of its own on this machine."""
        return check_elsewhere(jobs)

    @abstractmethod
    def run_feed(self, feed: Feed) -> int | None:
        """Run what a feed gives until it has no more; returns the exit code of a stop request, or None."""

    def run(
        self, jobs: Sequence[Job], on_start: OnStart, on_outcome: OnOutcome, on_tick: Callable[[], None]
    ) -> int | None:
        """Run all jobs; returns the exit code of a stop request (Ctrl-C, SIGTERM), or None.

        Args:
            on_outcome: may raise StopPlan.
            on_tick: called several times a second, for a display.
        """
        return self.run_feed(ListFeed(jobs, on_start, on_outcome, on_tick))


def make_executor(node: Node, demand: Demand) -> Executor:
    """Build the executor that a checked configuration names. Not by ``build.py``, which imports torch.

    Raises:
        ConfigError: a setting is wrong, or the class is no executor.
    """
    module, _, name = str(node["_target_"]).rpartition(".")
    settings = {key: value for key, value in node.items() if key != "_target_"}
    kind = getattr(importlib.import_module(module), name)
    if not (isinstance(kind, type) and issubclass(kind, Executor)):  # before it is called, whatever it is
        raise ConfigError(f"executor must name an Executor, got {node['_target_']}; choose another option of executor")
    built: Executor = cast(Any, kind)(demand, **settings)
    return built
