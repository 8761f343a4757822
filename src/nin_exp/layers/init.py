"""Initial weights from an explicit generator: the same seed gives the same trunk, whatever the head.

Layers are visited in the order of definition at any depth. A network defines its backbone before its head,
and heads with class maps define those first, so arms of one pair start from equal weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from nin_exp.errors import ConfigError

Scheme = Literal["kaiming", "xavier", "orthogonal", "gaussian", "torch"]

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@runtime_checkable
class GaussianStds(Protocol):
    """A module with its own deviation for some layers, used by the gaussian scheme instead of ``std``."""

    def gaussian_stds(self) -> Mapping[str, float]:
        """Dotted layer name inside the module -> standard deviation."""


@torch.no_grad()
def initialise(module: nn.Module, scheme: Scheme, std: float, generator: torch.Generator) -> list[str]:
    """Set every convolution and linear layer, at any depth; biases become zero, norm layers the identity.

    Args:
        module: a network or a part of one, on any device; values are drawn on the generator's.
        scheme: ``kaiming`` (He et al. 2015, normal, fan in, ReLU gain), ``xavier`` (Glorot & Bengio 2010,
            uniform), ``orthogonal`` (Saxe et al. 2014, gain sqrt 2), ``gaussian`` (mean 0, ``std``; the NiN
            author's 0.05), ``torch`` (PyTorch's own rule, random biases included).
        std: standard deviation of ``gaussian``, above 0; other schemes ignore it.
        generator: the only source of randomness.

    Returns:
        Dotted names of the layers set, in order.

    Raises:
        ConfigError: a GaussianStds module names a layer that it does not have.
    """
    stds = _own_stds(module)
    names = []
    for name, layer in module.named_modules():
        if isinstance(layer, WEIGHTED):
            _set_weight(layer.weight, scheme, stds.get(name, std), generator)
            if layer.bias is not None:
                _set_bias(layer.bias, layer.weight, scheme, generator)
            names.append(name)
        elif isinstance(layer, (_NormBase, nn.GroupNorm, nn.LayerNorm)):
            layer.reset_parameters()  # weight 1, bias 0, running statistics 0 and 1: no random numbers
    return names


def _own_stds(module: nn.Module) -> dict[str, float]:
    layers = {name for name, layer in module.named_modules() if isinstance(layer, WEIGHTED)}
    stds = {}
    for prefix, owner in module.named_modules():
        if isinstance(owner, GaussianStds):
            for name, value in owner.gaussian_stds().items():
                stds[f"{prefix}.{name}" if prefix else name] = value
    unknown = sorted(set(stds) - layers)
    if unknown:
        raise ConfigError(f"gaussian_stds must name convolutions or linear layers, got {unknown[0]}")
    return stds


def _set_weight(weight: Tensor, scheme: Scheme, std: float, generator: torch.Generator) -> None:
    if weight.is_meta:
        return
    # Drawn into a contiguous tensor on the generator's device: channels_last and the device change no value.
    values = torch.empty(weight.shape, dtype=torch.float32, device=generator.device)
    if scheme == "kaiming":
        nn.init.kaiming_normal_(values, nonlinearity="relu", generator=generator)
    elif scheme == "xavier":
        nn.init.xavier_uniform_(values, generator=generator)
    elif scheme == "orthogonal":
        nn.init.orthogonal_(values, gain=math.sqrt(2), generator=generator)
    elif scheme == "gaussian":
        nn.init.normal_(values, std=std, generator=generator)
    else:
        nn.init.kaiming_uniform_(values, a=math.sqrt(5), generator=generator)
    weight.copy_(values)


def _set_bias(bias: Tensor, weight: Tensor, scheme: Scheme, generator: torch.Generator) -> None:
    if scheme != "torch" or bias.is_meta:
        bias.zero_()
        return
    bound = 1 / math.sqrt(weight[0].numel())
    bias.copy_(torch.empty(bias.shape, device=generator.device).uniform_(-bound, bound, generator=generator))
