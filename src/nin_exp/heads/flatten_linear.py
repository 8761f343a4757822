"""A linear layer on the flattened features."""

from __future__ import annotations

from torch import Tensor, nn

from nin_exp.contracts.model import ClassMapBlock, FeatureSpec, Head
from nin_exp.layers.flatten import FixedFlatten
from nin_exp.ranges import PositiveInt, validated


class FlattenLinear(Head):
    """Flatten, then linear: features ``(B, C, H, W)`` to logits ``(B, K)``.

    Args:
        in_spec: shape of the features; the head fits no other.
        num_classes: K.
        class_map_block: not used; this head has no class maps.
    """

    @validated
    def __init__(self, in_spec: FeatureSpec, num_classes: PositiveInt, class_map_block: ClassMapBlock) -> None:
        super().__init__()
        self.flatten = FixedFlatten(in_spec, "head.linear")
        self.linear = nn.Linear(in_spec.numel, num_classes)

    @property
    def last_layer(self) -> nn.Module:
        return self.linear

    def class_maps(self, features: Tensor) -> None:
        return None

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.flatten(features))
        return logits
