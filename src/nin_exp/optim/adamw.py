"""Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Annotated

import torch
from torch.optim import Optimizer

from nin_exp.contracts.model import Network
from nin_exp.contracts.optim import OptimizerFactory
from nin_exp.optim.groups import parameter_groups, supports_fused
from nin_exp.ranges import NonNegativeFloat, PositiveFloat, Range, validated

DecayRate = Annotated[float, Range(ge=0, lt=1)]


class AdamW(OptimizerFactory):
    """torch.optim.AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101): decay apart from the gradient.

    Args:
        lr: learning rate.
        beta1: decay of the mean of gradients, in [0, 1).
        beta2: decay of the mean of squared gradients, in [0, 1).
        eps: added to the denominator.
        amsgrad: use the maximum of past second moments (Reddi et al. 2018).
        weight_decay: each step shrinks weights by lr * weight_decay.
        decay_bias_and_norm: let weight decay act on biases and norm layers too.
        bias_lr_multiplier: factor on the learning rate of biases.
        last_layer_lr_multiplier: factor on the learning rate of the head's last layer.
    """

    @validated
    def __init__(
        self,
        *,
        lr: PositiveFloat,
        beta1: DecayRate,
        beta2: DecayRate,
        eps: PositiveFloat,
        amsgrad: bool,
        weight_decay: NonNegativeFloat,
        decay_bias_and_norm: bool,
        bias_lr_multiplier: PositiveFloat,
        last_layer_lr_multiplier: PositiveFloat,
    ) -> None:
        self.lr = lr
        self.betas = (beta1, beta2)
        self.eps = eps
        self.amsgrad = amsgrad
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
        return torch.optim.AdamW(
            groups,
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            amsgrad=self.amsgrad,
            fused=supports_fused(network),
        )
