"""A learning rate cut at given epochs."""

from __future__ import annotations

from itertools import pairwise

from torch.optim import Optimizer
from torch.optim.lr_scheduler import MultiStepLR

from nin_exp.contracts.optim import BuiltSchedule, ScheduleFactory
from nin_exp.errors import ConfigError
from nin_exp.ranges import PositiveFloat, PositiveInt, validated


class MultiStep(ScheduleFactory):
    """Multiply every learning rate by ``gamma`` at each milestone.

    Args:
        milestones: numbers of finished epochs, strictly increasing.
        gamma: factor of a cut.

    Raises:
        ConfigError: milestones do not increase.
    """

    @validated
    def __init__(self, *, milestones: list[PositiveInt], gamma: PositiveFloat) -> None:
        if any(later <= earlier for earlier, later in pairwise(milestones)):
            raise ConfigError(f"schedule.milestones must be strictly increasing, got {milestones}; sort them")
        self.milestones = milestones
        self.gamma = gamma

    def build(self, optimizer: Optimizer, *, total_steps: int, steps_per_epoch: int) -> BuiltSchedule:
        steps = [epochs * steps_per_epoch for epochs in self.milestones]
        return BuiltSchedule(MultiStepLR(optimizer, steps, self.gamma), "step")
