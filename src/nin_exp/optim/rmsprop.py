"""RMSprop."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from nin_exp.contracts.model import Network
from nin_exp.optim.groups import DecayRate, GroupedOptimizer
from nin_exp.ranges import PositiveFloat


@dataclass(frozen=True, kw_only=True)
class RMSprop(GroupedOptimizer):
    """torch.optim.RMSprop (Tieleman & Hinton 2012, lecture 6.5); weight decay enters the gradient (L2).

    Args:
        alpha: decay of the mean of squared gradients, in [0, 1).
        eps: added to the denominator, behind the root.
        momentum: in [0, 1); 0 for none.
        centered: divide by the deviation instead of the root mean square (Graves 2013, arXiv 1308.0850).
        weight_decay: added to the gradient as weight_decay * weight.
    """

    alpha: DecayRate
    eps: PositiveFloat
    momentum: DecayRate
    centered: bool

    def build(self, network: Network) -> Optimizer:
        # torch has no one-kernel step for it
        return torch.optim.RMSprop(
            self.groups(network),
            lr=self.lr,
            alpha=self.alpha,
            eps=self.eps,
            momentum=self.momentum,
            centered=self.centered,
        )
