"""A network whose logits NumPy computes, and that is a torch network to all who ask it for them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nin_exp.contracts.model import Network
from nin_exp.numpy_engine.convert import convert
from nin_exp.reference.module import inference


class NumpyNetwork(Network):
    """Images ``(B, C, H, W)`` to logits ``(B, K)``, always in evaluation mode; class maps are torch's.

    Backbone, head, names and memory of the weights are the given network's: a state dict loaded into either is in
    both. ``layers`` are what trains: call them, and their ``backward_parameters``.

    Args:
        network: on the CPU.
        seed: of the dropout masks.

    Raises:
        ConfigError: a layer has no counterpart in NumPy.
    """

    def __init__(self, network: Network, seed: int) -> None:
        super().__init__(network.backbone, network.head)
        self.train(network.training)  # a new module trains, and its mode is that of the parts it shares
        self.dropout_rng = np.random.Generator(np.random.PCG64(seed))
        self.layers = convert(network, self.dropout_rng)

    def forward(self, images: Tensor) -> Tensor:
        # weights that have diverged give logits that are not finite; who asked for them looks
        with inference(self.layers), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return torch.from_numpy(self.layers(images.detach().cpu().numpy()))
