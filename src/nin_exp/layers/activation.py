"""Activation functions chosen by name."""

from __future__ import annotations

from typing import Literal

from torch import nn


def activation(name: Literal["relu", "tanh", "sigmoid"]) -> nn.Module:
    """A layer that applies the function to each value."""
    if name == "relu":
        return nn.ReLU()
    return nn.Tanh() if name == "tanh" else nn.Sigmoid()
