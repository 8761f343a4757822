"""RMSprop."""

from __future__ import annotations

from typing import Annotated

import torch
from torch.optim import Optimizer

from nin_exp.contracts.model import Network
from nin_exp.contracts.optim import OptimizerFactory
from nin_exp.optim.groups import parameter_groups
from nin_exp.ranges import NonNegativeFloat, PositiveFloat, Range, validated

DecayRate = Annotated[float, Range(ge=0, lt=1)]


class RMSprop(OptimizerFactory):
    """torch.optim.RMSprop (Tieleman & Hinton 2012, lecture 6.5); weight decay enters the gradient (L2).

    Args:
        lr: learning rate.
        alpha: decay of the mean of squared gradients, in [0, 1).
        eps: added to the denominator, behind the root.
        momentum: in [0, 1); 0 for none.
        centered: divide by the deviation instead of the root mean square (Graves 2013, arXiv 1308.0850).
        weight_decay: added to the gradient as weight_decay * weight.
        decay_bias_and_norm: let weight decay act on biases and norm layers too.
        bias_lr_multiplier: factor on the learning rate of biases.
        last_layer_lr_multiplier: factor on the learning rate of the head's last layer.
    """

    @validated
    def __init__(
        self,
        *,
        lr: PositiveFloat,
        alpha: DecayRate,
        eps: PositiveFloat,
        momentum: DecayRate,
        centered: bool,
        weight_decay: NonNegativeFloat,
        decay_bias_and_norm: bool,
        bias_lr_multiplier: PositiveFloat,
        last_layer_lr_multiplier: PositiveFloat,
    ) -> None:
        self.lr = lr
        self.alpha = alpha
        self.eps = eps
        self.momentum = momentum
        self.centered = centered
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
        # torch has no one-kernel step for it
        return torch.optim.RMSprop(
            groups, lr=self.lr, alpha=self.alpha, eps=self.eps, momentum=self.momentum, centered=self.centered
        )
