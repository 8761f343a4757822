"""What an optimizer and a schedule are to the training module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nin_exp.contracts.model import Network


class OptimizerFactory(ABC):
    """Holds the settings of an optimizer; makes it for a network, with its parameter groups."""

    @abstractmethod
    def build(self, network: Network) -> Optimizer:
        """An optimizer over every trainable parameter, each exactly once."""


@dataclass(frozen=True)
class BuiltSchedule:
    """A scheduler and when it moves: every step, every epoch, or on a metric at the epoch's end.

    Args:
        scheduler: its state dict holds everything that a run needs to go on, ``finished`` included.
        interval: when ``scheduler.step`` is due.
        monitor: the metric that ``step`` takes, such as ``train/acc``; None when it takes none.
        finished: whether the schedule says that training is over, asked after each ``step``; None when it never does.
    """

    scheduler: LRScheduler
    interval: Literal["step", "epoch"]
    monitor: str | None = None
    finished: Callable[[], bool] | None = None


class ScheduleFactory(ABC):
    """Holds the settings of a learning-rate schedule; makes it for an optimizer."""

    @abstractmethod
    def build(self, optimizer: Optimizer, *, total_steps: int, steps_per_epoch: int) -> BuiltSchedule:
        """A scheduler for a run of ``total_steps`` optimizer steps (at least 1)."""
