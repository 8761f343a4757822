"""The network as it is exported: levels of images in, probabilities and logits out, preparation inside."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from nin_exp.contracts.model import Network
from nin_exp.inference.export.preparation import preparation
from nin_exp.inference.input_spec import InputSpec


class ExportedNetwork(nn.Module):
    """uint8 ``(N, H, W, C)`` of the training size to probabilities and logits, each float32 ``(N, K)``.

    Channels stand last, as image libraries give them. Resizing stays outside: no operator of ONNX filters as the
    training images were filtered.
    """

    def __init__(self, network: Network, spec: InputSpec) -> None:
        super().__init__()
        # Of its own, in one memory format: the run goes on with the other.
        self.network = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format)
        self.preparation = preparation(spec.preprocessing, spec.image_spec)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits: Tensor = self.network(self.preparation(images))
        return logits.softmax(1), logits


def example_images(spec: InputSpec) -> Tensor:
    """Two black images, uint8 ``(2, H, W, C)``: one would fix the batch at 1."""
    shape = spec.image_spec
    return torch.zeros(2, shape.height, shape.width, shape.channels, dtype=torch.uint8)
