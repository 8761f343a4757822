"""A learning rate cut when validation stops improving."""

from __future__ import annotations

from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from nin_exp.contracts.optim import BuiltSchedule, ScheduleFactory
from nin_exp.ranges import Fraction, NonNegativeFloat, NonNegativeInt, OpenFraction, validated


class Plateau(ScheduleFactory):
    """torch's ReduceLROnPlateau on a validation metric, as NiN's author did by hand.

    Args:
        monitor: the metric; accuracy should rise, loss should fall.
        factor: factor of a cut.
        patience: epochs without improvement that are still tolerated.
        threshold: smallest absolute change that counts as improvement.
        cooldown: epochs after a cut in which nothing is counted.
        min_lr_fraction: share of each learning rate below which it is not cut.
    """

    @validated
    def __init__(
        self,
        *,
        monitor: Literal["val/acc", "val/loss"],
        factor: OpenFraction,
        patience: NonNegativeInt,
        threshold: NonNegativeFloat,
        cooldown: NonNegativeInt,
        min_lr_fraction: Fraction,
    ) -> None:
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.cooldown = cooldown
        self.min_lr_fraction = min_lr_fraction

    def build(self, optimizer: Optimizer, *, total_steps: int, steps_per_epoch: int) -> BuiltSchedule:
        scheduler = ReduceLROnPlateau(
            optimizer,
            mode="max" if self.monitor == "val/acc" else "min",
            factor=self.factor,
            patience=self.patience,
            threshold=self.threshold,
            threshold_mode="abs",
            cooldown=self.cooldown,
            min_lr=[self.min_lr_fraction * group["lr"] for group in optimizer.param_groups],
        )
        return BuiltSchedule(scheduler, "epoch", self.monitor)
