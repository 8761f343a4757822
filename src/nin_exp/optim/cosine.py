"""A learning rate along half a cosine, after a linear warm-up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from nin_exp.contracts.optim import BuiltSchedule, ScheduleFactory
from nin_exp.ranges import Fraction, NonNegativeFloat, validated


class Cosine(ScheduleFactory):
    """Linear warm-up, then half a cosine to the end of the run (Loshchilov & Hutter 2017, arXiv 1608.03983).

    Every group follows the same factor on its own learning rate; torch's CosineAnnealingLR has one absolute
    minimum for all groups, which would lift groups with a small multiplier above their own rate.

    Args:
        warmup_epochs: epochs of warm-up, also parts of one; a shorter run ends within the warm-up.
        min_lr_fraction: share of each learning rate that is left at the end, in [0, 1].
    """

    @validated
    def __init__(self, *, warmup_epochs: NonNegativeFloat, min_lr_fraction: Fraction) -> None:
        self.warmup_epochs = warmup_epochs
        self.min_lr_fraction = min_lr_fraction

    def build(self, optimizer: Optimizer, *, total_steps: int, steps_per_epoch: int) -> BuiltSchedule:
        warmup_steps = round(self.warmup_epochs * steps_per_epoch)
        factor = CosineFactor(total_steps, warmup_steps, self.min_lr_fraction)
        return BuiltSchedule(LambdaLR(optimizer, factor), "step")


@dataclass
class CosineFactor:
    """Step -> factor on the learning rate; an object, so that a checkpoint can hold its settings."""

    total_steps: int
    warmup_steps: int
    min_fraction: float

    def __call__(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        progress = min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps))
        return self.min_fraction + (1 - self.min_fraction) * (1 + math.cos(math.pi * progress)) / 2
