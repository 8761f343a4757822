"""The layers of a network: shapes, parameters, multiply-accumulate operations, receptive fields.

Everything runs on the meta device: a head of any size needs no memory, and the network stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Network
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.geometry import Window, receptive_field, window_of


@dataclass(frozen=True)
class LayerSummary:
    """One layer, in the order in which an image passes it.

    Args:
        name: dotted name inside the network.
        kind: class name.
        output_shape: without the batch dimension.
        params: parameters of its own; 0 where a layer is used again.
        macs: multiply-accumulate operations for one image, of convolution and linear layers without their bias.
        receptive_field: side in pixels of the image region that one output value sees; None behind global
            pooling or flattening, beside the main path, and for backbones that do not tell their windows.
        stride: step in pixels between neighbouring output values; None likewise.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    receptive_field: int | None
    stride: int | None


@dataclass(frozen=True)
class NetworkSummary:
    """All layers and their totals; ``macs`` counts one image."""

    layers: tuple[LayerSummary, ...]
    params_total: int
    params_head: int
    params_trainable: int
    macs: int

    @property
    def head_share(self) -> float:
        """Part of the parameters that lies in the head, in [0, 1]; 0 for a network without parameters."""
        return self.params_head / self.params_total if self.params_total else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain types for JSON: ``params_total params_head params_trainable head_share macs layers``."""
        layers = [asdict(layer) | {"output_shape": list(layer.output_shape)} for layer in self.layers]
        totals = {name: value for name, value in vars(self).items() if name != "layers"}
        return totals | {"head_share": self.head_share, "layers": layers}


def summarize(network: Network, in_spec: ImageSpec) -> NetworkSummary:
    """Measure a network for one image.

    Args:
        network: on any device, in any mode; neither it nor its weights, hooks or buffers change.
        in_spec: shape of one image.

    Raises:
        GeometryError: a layer does not fit the image.
    """
    network.backbone.out_spec(in_spec)  # its message names the layer; torch's would not
    rows = _trace(network, in_spec)
    fields = _receptive_fields(network, rows)
    seen: set[int] = set()
    layers = []
    for name, layer, shape in rows:
        own = [p for p in layer.parameters(recurse=False) if id(p) not in seen]
        seen.update(id(p) for p in own)
        field, stride = fields.get(name, (None, None))
        params = sum(p.numel() for p in own)
        kind = type(layer).__name__
        layers.append(LayerSummary(name, kind, shape, params, _macs(layer, shape), field, stride))
    return NetworkSummary(
        layers=tuple(layers),
        params_total=sum(p.numel() for p in network.parameters()),
        params_head=sum(p.numel() for p in network.head.parameters()),
        params_trainable=sum(p.numel() for p in network.parameters() if p.requires_grad),
        macs=sum(layer.macs for layer in layers),
    )


def _trace(network: Network, in_spec: ImageSpec) -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    """Name, layer and output shape of every row of the table, in the order of use."""
    rows: list[tuple[str, nn.Module, tuple[int, ...]]] = []
    names = {id(layer): name for name, layer in network.named_modules()}

    def record(layer: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        if isinstance(output, Tensor):
            rows.append((names[id(layer)], layer, tuple(output.shape[1:])))

    hooks = [layer.register_forward_hook(record) for layer in network.modules() if _is_row(layer)]
    # functional_call swaps parameters and buffers for the call alone: nothing is copied, nothing is written
    state = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]
    }
    images = torch.empty(1, in_spec.channels, in_spec.height, in_spec.width, device="meta")
    try:
        with torch.no_grad(), _evaluating(network):
            functional_call(network, state, (images,))
    finally:
        for hook in hooks:
            hook.remove()
    return rows


def _is_row(layer: nn.Module) -> bool:
    has_own = any(True for _ in layer.parameters(recurse=False))
    return has_own or not (any(True for _ in layer.children()) or isinstance(layer, nn.Identity))


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode (a batch of one has no variance for batch norm); each layer gets its own mode back."""
    modes = [(layer, layer.training) for layer in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


def _macs(layer: nn.Module, shape: tuple[int, ...]) -> int:
    outputs = math.prod(shape)
    if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return outputs * (layer.in_channels // layer.groups) * math.prod(layer.kernel_size)
    return outputs * layer.in_features if isinstance(layer, nn.Linear) else 0


def _receptive_fields(
    network: Network, rows: list[tuple[str, nn.Module, tuple[int, ...]]]
) -> dict[str, tuple[int, int]]:
    """Layer name -> receptive field and stride, as far as they are defined."""
    backbone = network.backbone
    if not isinstance(backbone, ChainBackbone):
        return {}
    passed: list[Window] = []
    fields = {}
    for name, layer, shape in rows:
        if name.startswith("backbone.") and backbone.is_side_branch(name.removeprefix("backbone.")):
            continue
        if len(shape) != 3:  # pooled or flattened: no places any more
            break
        window = window_of(name, layer)
        if window is not None:
            passed.append(window)
        fields[name] = receptive_field(passed)
    return fields
