"""A learning rate cut at equal intervals."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR

from nin_exp.contracts.optim import BuiltSchedule, ScheduleFactory
from nin_exp.ranges import PositiveFloat, PositiveInt, validated


class Step(ScheduleFactory):
    """Multiply every learning rate by ``gamma`` after each ``step_epochs`` epochs.

    Args:
        step_epochs: epochs between two cuts.
        gamma: factor of a cut.
    """

    @validated
    def __init__(self, *, step_epochs: PositiveInt, gamma: PositiveFloat) -> None:
        self.step_epochs = step_epochs
        self.gamma = gamma

    def build(self, optimizer: Optimizer, *, total_steps: int, steps_per_epoch: int) -> BuiltSchedule:
        return BuiltSchedule(StepLR(optimizer, self.step_epochs * steps_per_epoch, self.gamma), "step")
