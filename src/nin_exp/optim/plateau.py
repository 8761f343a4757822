"""A learning rate cut when a metric stops improving."""

from __future__ import annotations

from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from nin_exp.contracts.optim import BuiltSchedule, ScheduleFactory
from nin_exp.ranges import Fraction, NonNegativeFloat, NonNegativeInt, OpenFraction, PositiveInt, validated


class Plateau(ScheduleFactory):
    """torch's ReduceLROnPlateau, ended by one plateau more than there are cuts.

    The paper's rule (arXiv 1312.4400, section 4) is ``monitor=train/acc factor=0.1 max_cuts=2``.

    Args:
        monitor: the metric; accuracy should rise, loss should fall.
        factor: factor of a cut.
        patience: epochs without improvement that are still tolerated.
        threshold: smallest absolute change that counts as improvement.
        cooldown: epochs after a cut in which nothing is counted.
        max_cuts: the next plateau after so many cuts ends the training; None cuts without end.
        min_lr_fraction: share of each learning rate below which it is not cut.
    """

    @validated
    def __init__(
        self,
        *,
        monitor: Literal["val/acc", "val/loss", "train/acc", "train/loss"],
        factor: OpenFraction,
        patience: NonNegativeInt,
        threshold: NonNegativeFloat,
        cooldown: NonNegativeInt,
        max_cuts: PositiveInt | None,
        min_lr_fraction: Fraction,
    ) -> None:
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.cooldown = cooldown
        self.max_cuts = max_cuts
        self.min_lr_fraction = min_lr_fraction

    def build(self, optimizer: Optimizer, *, total_steps: int, steps_per_epoch: int) -> BuiltSchedule:
        scheduler = CountingPlateau(
            optimizer,
            mode="max" if self.monitor.endswith("/acc") else "min",
            factor=self.factor,
            patience=self.patience,
            threshold=self.threshold,
            threshold_mode="abs",
            cooldown=self.cooldown,
            min_lr=[self.min_lr_fraction * group["lr"] for group in optimizer.param_groups],
        )
        scheduler.max_cuts = self.max_cuts
        finished = None if self.max_cuts is None else scheduler.is_exhausted
        return BuiltSchedule(scheduler, "epoch", self.monitor, finished)


class CountingPlateau(ReduceLROnPlateau):
    """Counts its cuts; the count is a part of its state dict, so a run that goes on keeps it."""

    max_cuts: int | None = None
    plateaus: int = 0

    def is_exhausted(self) -> bool:
        """Whether a plateau was met after the last cut allowed."""
        return self.max_cuts is not None and self.plateaus > self.max_cuts

    def _reduce_lr(self, epoch: int) -> None:
        # torch calls this at each plateau; `step` itself says nothing about what it did
        self.plateaus += 1
        if not self.is_exhausted():
            super()._reduce_lr(epoch)
