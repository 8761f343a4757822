"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Annotated

import torch
from torch.optim import Optimizer

from nin_exp.contracts.model import Network
from nin_exp.contracts.optim import OptimizerFactory
from nin_exp.errors import ConfigError
from nin_exp.optim.groups import parameter_groups, supports_fused
from nin_exp.ranges import NonNegativeFloat, PositiveFloat, Range, validated

Momentum = Annotated[float, Range(ge=0, lt=1)]


class SGD(OptimizerFactory):
    """torch.optim.SGD; v = momentum * v + gradient, step lr * v (Nesterov: Sutskever et al. 2013).

    Args:
        lr: learning rate.
        momentum: in [0, 1); 0 for none.
        nesterov: look ahead along the momentum; needs momentum above 0.
        weight_decay: added to the gradient as weight_decay * weight.
        decay_bias_and_norm: let weight decay act on biases and norm layers too.
        bias_lr_multiplier: factor on the learning rate of biases.
        last_layer_lr_multiplier: factor on the learning rate of the head's last layer.

    Raises:
        ConfigError: nesterov without momentum.
    """

    @validated
    def __init__(
        self,
        *,
        lr: PositiveFloat,
        momentum: Momentum,
        nesterov: bool,
        weight_decay: NonNegativeFloat,
        decay_bias_and_norm: bool,
        bias_lr_multiplier: PositiveFloat,
        last_layer_lr_multiplier: PositiveFloat,
    ) -> None:
        if nesterov and momentum == 0:
            raise ConfigError("optimizer.nesterov must be false without momentum, got true; set optimizer.momentum")
        self.lr = lr
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.decay_bias_and_norm = decay_bias_and_norm
        self.bias_lr_multiplier = bias_lr_multiplier
        self.last_layer_lr_multiplier = last_layer_lr_multiplier

    def build(self, network: Network) -> Optimizer:
        groups = parameter_groups(
            network,
            lr=self.lr,
            weight_decay=self.weight_decay,
            decay_bias_and_norm=self.decay_bias_and_norm,
            bias_lr_multiplier=self.bias_lr_multiplier,
            last_layer_lr_multiplier=self.last_layer_lr_multiplier,
        )
        return torch.optim.SGD(
            groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, fused=supports_fused(network)
        )
