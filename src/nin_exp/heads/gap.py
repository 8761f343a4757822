"""Global average pooling over class maps (Lin, Chen & Yan 2014, arXiv 1312.4400, section 3.2)."""

from __future__ import annotations

from torch import Tensor, nn

from nin_exp.contracts.model import ClassMapBlock, FeatureSpec, Head
from nin_exp.layers.class_maps import last_weighted_layer
from nin_exp.layers.global_pool import GlobalAveragePool
from nin_exp.ranges import PositiveInt, validated


class GAP(Head):
    """Class maps, then their mean: features ``(B, C, H, W)`` to logits ``(B, K)``; any image size fits.

    Args:
        in_spec: shape of the features.
        num_classes: K.
        class_map_block: builds the layers from features to class maps.
        relu: apply a ReLU to the class maps, as the paper's net does. It can die: all logits zero, the loss
            at ln K for good.
    """

    @validated
    def __init__(
        self, in_spec: FeatureSpec, num_classes: PositiveInt, class_map_block: ClassMapBlock, *, relu: bool
    ) -> None:
        super().__init__()
        self.maps = class_map_block(num_classes)
        self.activation = nn.ReLU() if relu else nn.Identity()
        self.pool = GlobalAveragePool()

    @property
    def last_layer(self) -> nn.Module:
        return last_weighted_layer(self.maps)

    def class_maps(self, features: Tensor) -> Tensor:
        maps: Tensor = self.activation(self.maps(features))
        return maps

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.pool(self.class_maps(features))
        return logits
