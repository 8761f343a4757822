"""Parameter groups: which parameters decay, and which learn faster or slower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from nin_exp.contracts.model import Network
from nin_exp.contracts.optim import OptimizerFactory
from nin_exp.errors import ConfigError
from nin_exp.ranges import NonNegativeFloat, PositiveFloat, Range, check_fields

DecayRate = Annotated[float, Range(ge=0, lt=1)]
"""Of a running mean: momentum, beta1 …"""

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True, kw_only=True)
class GroupedOptimizer(OptimizerFactory):
    """What every optimizer is given; a subclass adds its own settings, and builds over ``groups``.

    Args:
        lr: learning rate of a parameter without a multiplier.
        weight_decay: on weights; how it enters the step is the optimizer's.
        decay_bias_and_norm: let weight decay act on biases and norm layers too.
        bias_lr_multiplier: factor on the learning rate of biases (NiN's author: 2).
        last_layer_lr_multiplier: factor on the learning rate of the head's last layer (author: 0.1).

    Raises:
        ValueError: a setting is outside its range.
    """

    lr: PositiveFloat
    weight_decay: NonNegativeFloat
    decay_bias_and_norm: bool
    bias_lr_multiplier: PositiveFloat
    last_layer_lr_multiplier: PositiveFloat

    def __post_init__(self) -> None:
        check_fields(self)

    def groups(self, network: Network) -> list[dict[str, Any]]:
        """The network's parameter groups, as ``parameter_groups`` makes them from these settings."""
        return parameter_groups(
            network,
            lr=self.lr,
            weight_decay=self.weight_decay,
            decay_bias_and_norm=self.decay_bias_and_norm,
            bias_lr_multiplier=self.bias_lr_multiplier,
            last_layer_lr_multiplier=self.last_layer_lr_multiplier,
        )


def parameter_groups(
    network: Network,
    *,
    lr: float,
    weight_decay: float,
    decay_bias_and_norm: bool,
    bias_lr_multiplier: float,
    last_layer_lr_multiplier: float,
) -> list[dict[str, Any]]:
    """Groups for a torch optimizer that hold each trainable parameter exactly once.

    Args:
        network: its ``head.last_layer`` is the last layer.
        lr: learning rate of a parameter without a multiplier.
        weight_decay: for weights; on biases, norm layers and other vectors only by decay_bias_and_norm.
        decay_bias_and_norm: let weight decay act on every parameter.
        bias_lr_multiplier: factor on ``lr`` of every bias (NiN's author: 2).
        last_layer_lr_multiplier: factor on ``lr`` of the last layer (author: 0.1); on its bias both act.

    Returns:
        Dicts with ``params``, ``lr``, ``weight_decay`` and ``name``, in the order of first use.

    Raises:
        ConfigError: no parameter is trainable.
    """
    last = {id(parameter) for parameter in network.head.last_layer.parameters()}
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    seen: set[int] = set()
    for layer in network.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            if id(parameter) in seen or not parameter.requires_grad:
                continue
            seen.add(id(parameter))
            is_bias = name.endswith("bias")
            factor = bias_lr_multiplier if is_bias else 1.0
            factor *= last_layer_lr_multiplier if id(parameter) in last else 1.0
            decays = decay_bias_and_norm or not (is_bias or parameter.ndim < 2 or isinstance(layer, _NORMS))
            group = groups.setdefault((factor, decays), _empty_group(lr * factor, weight_decay, factor, decays))
            group["params"].append(parameter)
    if not groups:
        raise ConfigError("optimizer must have a trainable parameter, got a network with all parameters frozen")
    return list(groups.values())


def _empty_group(lr: float, weight_decay: float, factor: float, decays: bool) -> dict[str, Any]:
    name = f"{'decay' if decays else 'no_decay'}_lr_x{factor:g}"
    return {"params": [], "lr": lr, "weight_decay": weight_decay if decays else 0.0, "name": name}


def norm_parameters(network: nn.Module) -> set[int]:
    """The identities of the parameters that norm layers own."""
    return {id(p) for layer in network.modules() if isinstance(layer, _NORMS) for p in layer.parameters(recurse=False)}


def supports_fused(network: nn.Module) -> bool:
    """Whether torch has a one-kernel step for these parameters (2.5 times faster on CPU, PyTorch #123629)."""
    return all(
        parameter.device.type in ("cpu", "cuda") and parameter.is_floating_point()
        for parameter in network.parameters()
        if parameter.requires_grad
    )
