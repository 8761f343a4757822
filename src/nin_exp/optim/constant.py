"""A learning rate that does not change."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR

from nin_exp.contracts.optim import BuiltSchedule, ScheduleFactory


class Constant(ScheduleFactory):
    """Every group keeps its learning rate."""

    def build(self, optimizer: Optimizer, *, total_steps: int, steps_per_epoch: int) -> BuiltSchedule:
        return BuiltSchedule(ConstantLR(optimizer, factor=1.0, total_iters=0), "step")
