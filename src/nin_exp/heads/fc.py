"""The paper's fully connected head: a dense layer on the class maps (arXiv 1312.4400, table 5)."""

from __future__ import annotations

from torch import Tensor, nn

from nin_exp.contracts.model import ClassMapBlock, FeatureSpec, Head
from nin_exp.layers.class_maps import class_map_spec
from nin_exp.layers.flatten import FixedFlatten
from nin_exp.ranges import DropRate, PositiveInt, validated


class FC(Head):
    """Class maps, flattened, to a linear layer: features ``(B, C, H, W)`` to logits ``(B, K)``.

    Against GAP the pooling alone is exchanged: both heads own the same class-map layers.

    Args:
        in_spec: shape of the features; the head fits no other.
        num_classes: K.
        class_map_block: builds the layers from features to class maps.
        relu: apply a ReLU to the class maps, as the paper's net does.
        dropout: share of class-map values set to zero before the linear layer.

    Raises:
        GeometryError: the class-map layers do not fit the features.
    """

    @validated
    def __init__(
        self,
        in_spec: FeatureSpec,
        num_classes: PositiveInt,
        class_map_block: ClassMapBlock,
        *,
        relu: bool,
        dropout: DropRate,
    ) -> None:
        super().__init__()
        spec = class_map_spec(in_spec, num_classes, class_map_block)
        self.maps = class_map_block(num_classes)
        self.activation = nn.ReLU() if relu else nn.Identity()
        self.flatten = FixedFlatten(spec, "head.linear")
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(spec.numel, num_classes)

    @property
    def last_layer(self) -> nn.Module:
        return self.linear

    def class_maps(self, features: Tensor) -> Tensor:
        maps: Tensor = self.activation(self.maps(features))
        return maps

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(self.flatten(self.class_maps(features))))
        return logits
