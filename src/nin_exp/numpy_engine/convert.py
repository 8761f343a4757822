"""From a torch network to the reference layers that compute the same, by the type of each module.

The exact type decides: a subclass may compute something else. Weights are not copied but shared: every parameter and
running statistic of the reference layers is the memory of the torch network's, so what one learns the other has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from nin_exp.backbones.mlp import MLPBackbone
from nin_exp.contracts.model import Network
from nin_exp.errors import ConfigError
from nin_exp.heads.fc import FC
from nin_exp.heads.flatten_linear import FlattenLinear
from nin_exp.heads.gap import GAP
from nin_exp.heads.gap_linear import GAPLinear
from nin_exp.heads.gmp_linear import GMPLinear
from nin_exp.heads.mlp import MLP
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.flatten import FixedFlatten
from nin_exp.layers.global_pool import GlobalAveragePool, GlobalMaxPool
from nin_exp.layers.inception import Inception
from nin_exp.layers.local import LocallyConnected
from nin_exp.layers.residual import BasicBlock, PaddingShortcut
from nin_exp.reference.activations import ReLU, Sigmoid, Tanh
from nin_exp.reference.containers import Concat, Residual, Sequential
from nin_exp.reference.conv import Conv2d
from nin_exp.reference.dropout import Dropout, Dropout2d
from nin_exp.reference.linear import Flatten, Linear, Unflatten
from nin_exp.reference.local import LocallyConnected2d
from nin_exp.reference.module import Layer
from nin_exp.reference.norm import BatchNorm2d, LocalResponseNorm
from nin_exp.reference.pooling import AvgPool2d, GlobalAvgPool, MaxPool2d
from nin_exp.reference.pooling import GlobalMaxPool as NumpyGlobalMaxPool
from nin_exp.reference.shortcut import PaddingShortcut as NumpyPaddingShortcut

COVERED = "the layers of nin, conv_net, lenet, alexnet, vgg, googlenet, resnet, mlp and of every head"
_UNUSED = np.random.default_rng(0)
"""Draws initial weights that the network's own replace at once."""

_CHAIN_FORWARDS = (nn.Sequential.forward, ChainBackbone.forward)
_CHAINS = (FC, FlattenLinear, GAP, GAPLinear, GMPLinear, MLP)
"""Modules that pass their children in the order of definition."""


def convert(network: Network, rng: np.random.Generator) -> Layer:
    """The reference layers of a network; their parameters have its names, and share its memory.

    Args:
        network: on the CPU; float32 or float64.
        rng: draws the masks of all dropout layers, in the order in which an image passes them.

    Raises:
        ConfigError: a module has no counterpart; names it and says what is covered.
    """
    parts = {name: _Converter(rng).layer(module, name) for name, module in network.named_children()}
    layers = Sequential(parts)
    _share(layers, network)
    return layers


def _share(layers: Layer, network: nn.Module) -> None:
    """Let every array of ``layers`` be the memory of the tensor of its name."""
    tensors = dict(network.state_dict())
    for prefix, layer in layers.layers():
        for name, parameter in layer.own_parameters.items():
            parameter.data = _memory(tensors.pop(prefix + name), prefix + name, parameter.data.shape)
        for name, buffer in layer.own_buffers.items():
            layer.own_buffers[name] = _memory(tensors.pop(prefix + name), prefix + name, buffer.shape)
    assert not tensors, f"left over: {sorted(tensors)}"


def _memory(tensor: torch.Tensor, name: str, shape: tuple[int, ...]) -> Any:
    assert tuple(tensor.shape) == shape, (name, tensor.shape, shape)
    return tensor.detach().numpy()


def uncovered(module: nn.Module, name: str, why: str = "") -> ConfigError:
    """The one line for a module without counterpart."""
    kind = type(module).__name__ + (f" with {why}" if why else "")
    return ConfigError(
        f"engine=numpy must know every layer, got {kind} at {name}; it covers {COVERED}: use engine=torch"
    )


class _Converter:
    """Converts modules; ``name`` is the dotted name in the network, for messages."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._by_type: dict[type[nn.Module], Callable[[Any, str], Layer]] = {
            nn.Conv2d: _conv2d,
            nn.Linear: lambda m, _: Linear(m.in_features, m.out_features, m.bias is not None, rng=_UNUSED),
            nn.BatchNorm2d: _batch_norm,
            nn.LocalResponseNorm: lambda m, _: LocalResponseNorm(m.size, m.alpha, m.beta, m.k),
            nn.ReLU: lambda *_: ReLU(),
            nn.Tanh: lambda *_: Tanh(),
            nn.Sigmoid: lambda *_: Sigmoid(),
            nn.Identity: lambda *_: Sequential(),
            nn.MaxPool2d: _max_pool,
            nn.AvgPool2d: _avg_pool,
            nn.Dropout: lambda m, _: Dropout(m.p, rng=rng),
            nn.Dropout2d: lambda m, _: Dropout2d(m.p, rng=rng),
            FixedFlatten: lambda *_: Flatten(),
            GlobalAveragePool: lambda *_: GlobalAvgPool(),
            GlobalMaxPool: lambda *_: NumpyGlobalMaxPool(ties="share"),
            PaddingShortcut: lambda m, _: NumpyPaddingShortcut(m.extra_channels, m.stride),
            LocallyConnected: _local,
            BasicBlock: self._basic_block,
            Inception: lambda m, name: Concat(self._children(m, name)),
            MLPBackbone: lambda m, name: Sequential({**self._children(m, name), "places": Unflatten()}),
        }

    def layer(self, module: nn.Module, name: str) -> Layer:
        """The reference layer of one module."""
        kind = type(module)
        if kind in self._by_type:
            return self._by_type[kind](module, name)
        if kind in _CHAINS or kind.forward in _CHAIN_FORWARDS:
            return Sequential(self._children(module, name))
        raise uncovered(module, name)

    def _children(self, module: nn.Module, name: str) -> dict[str, Layer]:
        return {child: self.layer(part, f"{name}.{child}") for child, part in module.named_children()}

    def _basic_block(self, block: BasicBlock, name: str) -> Layer:
        children = self._children(block, name)
        aside, last = children.pop("shortcut"), children.pop("relu2")
        both = Residual(Sequential(children), aside, names=("", "shortcut"))
        return Sequential({"": both, "relu2": last})


def _conv2d(module: nn.Conv2d, name: str) -> Layer:
    if module.groups != 1 or module.dilation != (1, 1) or module.padding_mode != "zeros":
        why = f"groups={module.groups}, dilation={module.dilation}, padding_mode={module.padding_mode}"
        raise uncovered(module, name, why)
    if isinstance(module.padding, str):
        raise uncovered(module, name, f"padding={module.padding}")
    return Conv2d(
        module.in_channels,
        module.out_channels,
        _pair(module.kernel_size),
        _pair(module.stride),
        _pair(module.padding),
        module.bias is not None,
        rng=_UNUSED,
    )


def _batch_norm(module: nn.BatchNorm2d, name: str) -> Layer:
    if not module.affine or not module.track_running_stats:
        raise uncovered(module, name, f"affine={module.affine}, track_running_stats={module.track_running_stats}")
    return BatchNorm2d(module.num_features, module.eps, module.momentum)


def _max_pool(module: nn.MaxPool2d, name: str) -> Layer:
    if module.dilation not in (1, (1, 1)) or module.return_indices:
        raise uncovered(module, name, f"dilation={module.dilation}, return_indices={module.return_indices}")
    return MaxPool2d(_pair(module.kernel_size), _pair(module.stride), _pair(module.padding), module.ceil_mode)


def _avg_pool(module: nn.AvgPool2d, name: str) -> Layer:
    if module.divisor_override is not None:
        raise uncovered(module, name, f"divisor_override={module.divisor_override}")
    window = _pair(module.kernel_size), _pair(module.stride), _pair(module.padding)
    return AvgPool2d(*window, module.ceil_mode, module.count_include_pad)


def _local(module: LocallyConnected, name: str) -> Layer:
    spec, kernel = module.in_spec, module.patches.kernel_size
    side = kernel if isinstance(kernel, int) else kernel[0]
    layer = LocallyConnected2d(spec.channels, (spec.height, spec.width), module.out_channels, side, rng=_UNUSED)
    return Sequential({"weights": layer})


def _pair(value: int | Iterable[int]) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int) else value
    return height, width
