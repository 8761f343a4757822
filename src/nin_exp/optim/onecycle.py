"""One cycle: up to the peak learning rate, then down to almost nothing."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from nin_exp.contracts.optim import BuiltSchedule, ScheduleFactory
from nin_exp.ranges import OpenFraction, Range, validated

Divisor = Annotated[float, Range(ge=1)]


class OneCycle(ScheduleFactory):
    """torch's OneCycleLR (Smith & Topin 2018, arXiv 1708.07120); the peak is each group's own learning rate.

    A run too short for one step of warm-up (below 1 / ``warmup_fraction`` steps) sees the beginning of the
    shortest cycle there is.

    Args:
        warmup_fraction: share of the steps on the way up.
        start_divisor: peak over first learning rate, at least 1.
        end_divisor: first over last learning rate, at least 1.
        anneal: shape of both ways.
    """

    @validated
    def __init__(
        self,
        *,
        warmup_fraction: OpenFraction,
        start_divisor: Divisor,
        end_divisor: Divisor,
        anneal: Literal["cos", "linear"],
    ) -> None:
        self.warmup_fraction = warmup_fraction
        self.start_divisor = start_divisor
        self.end_divisor = end_divisor
        self.anneal = anneal

    def build(self, optimizer: Optimizer, *, total_steps: int, steps_per_epoch: int) -> BuiltSchedule:
        # torch divides by (warmup_fraction * total_steps - 1), the number of warm-up steps
        shortest = math.floor(1 / self.warmup_fraction) + 1
        scheduler = OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=max(total_steps, shortest),
            pct_start=self.warmup_fraction,
            div_factor=self.start_divisor,
            final_div_factor=self.end_divisor,
            anneal_strategy=self.anneal,
            cycle_momentum=False,  # it would give momentum to an optimizer set to have none
        )
        return BuiltSchedule(scheduler, "step")
