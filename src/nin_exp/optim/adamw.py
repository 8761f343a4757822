"""Adam with decoupled weight decay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from nin_exp.contracts.model import Network
from nin_exp.optim.groups import DecayRate, GroupedOptimizer, supports_fused
from nin_exp.ranges import PositiveFloat


@dataclass(frozen=True, kw_only=True)
class AdamW(GroupedOptimizer):
    """torch.optim.AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101): decay apart from the gradient.

    Args:
        beta1: decay of the mean of gradients, in [0, 1).
        beta2: decay of the mean of squared gradients, in [0, 1).
        eps: added to the denominator.
        amsgrad: use the maximum of past second moments (Reddi et al. 2018).
        weight_decay: each step shrinks weights by lr * weight_decay.
    """

    beta1: DecayRate
    beta2: DecayRate
    eps: PositiveFloat
    amsgrad: bool

    def build(self, network: Network) -> Optimizer:
        return torch.optim.AdamW(
            self.groups(network),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            amsgrad=self.amsgrad,
            fused=supports_fused(network),
        )
