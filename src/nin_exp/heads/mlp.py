"""The fully connected classifier of AlexNet (Krizhevsky, Sutskever & Hinton 2012, sections 3.5 and 4.2)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from nin_exp.contracts.model import ClassMapBlock, FeatureSpec, Head
from nin_exp.layers.activation import activation as activation_layer
from nin_exp.layers.flatten import FixedFlatten
from nin_exp.ranges import DropRate, PositiveInt, validated


class MLP(Head):
    """Flatten, hidden layers with dropout, linear: features ``(B, C, H, W)`` to logits ``(B, K)``.

    Args:
        in_spec: shape of the features; the head fits no other.
        num_classes: K.
        class_map_block: not used; this head has no class maps.
        hidden: units of each hidden layer.
        activation: the function after each hidden layer.
        dropout: share of hidden values set to zero after each hidden layer.
    """

    @validated
    def __init__(
        self,
        in_spec: FeatureSpec,
        num_classes: PositiveInt,
        class_map_block: ClassMapBlock,
        *,
        hidden: list[PositiveInt],
        activation: Literal["relu", "tanh", "sigmoid"],
        dropout: DropRate,
    ) -> None:
        super().__init__()
        self.flatten = FixedFlatten(in_spec, "head.hidden1" if hidden else "head.linear")
        self.hidden = nn.Sequential()
        in_features = in_spec.numel
        for index, units in enumerate(hidden, start=1):
            self.hidden.add_module(f"hidden{index}", nn.Linear(in_features, units))
            self.hidden.add_module(f"{activation}{index}", activation_layer(activation))
            self.hidden.add_module(f"dropout{index}", nn.Dropout(dropout))
            in_features = units
        self.linear = nn.Linear(in_features, num_classes)

    @property
    def last_layer(self) -> nn.Module:
        return self.linear

    def class_maps(self, features: Tensor) -> None:
        return None

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.hidden(self.flatten(features)))
        return logits
