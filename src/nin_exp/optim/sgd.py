"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from nin_exp.contracts.model import Network
from nin_exp.errors import ConfigError
from nin_exp.optim.groups import DecayRate, GroupedOptimizer, supports_fused


@dataclass(frozen=True, kw_only=True)
class SGD(GroupedOptimizer):
    """torch.optim.SGD; v = momentum * v + gradient, step lr * v (Nesterov: Sutskever et al. 2013).

    Args:
        momentum: in [0, 1); 0 for none.
        nesterov: look ahead along the momentum; needs momentum above 0.
        weight_decay: added to the gradient as weight_decay * weight.

    Raises:
        ConfigError: nesterov without momentum.
    """

    momentum: DecayRate
    nesterov: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise ConfigError("optimizer.nesterov must be false without momentum, got true; set optimizer.momentum")

    def build(self, network: Network) -> Optimizer:
        return torch.optim.SGD(
            self.groups(network),
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            fused=supports_fused(network),
        )
