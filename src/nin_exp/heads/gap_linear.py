"""Global average pooling of the features, then a linear layer (Zhou et al. 2016, arXiv 1512.04150)."""

from __future__ import annotations

from torch import Tensor, nn

from nin_exp.contracts.model import ClassMapBlock, FeatureSpec, Head
from nin_exp.layers.class_maps import activation_maps
from nin_exp.layers.global_pool import GlobalAveragePool
from nin_exp.ranges import PositiveInt, validated


class GAPLinear(Head):
    """Mean over places, then linear: features ``(B, C, H, W)`` to logits ``(B, K)``; any image size fits.

    The same functions as GAP without a ReLU, for a 1x1 class-map layer: the mean commutes with it.

    Args:
        in_spec: shape of the features.
        num_classes: K.
        class_map_block: not used; this head classifies the features themselves.
    """

    @validated
    def __init__(self, in_spec: FeatureSpec, num_classes: PositiveInt, class_map_block: ClassMapBlock) -> None:
        super().__init__()
        self.pool = GlobalAveragePool()
        self.linear = nn.Linear(in_spec.channels, num_classes)

    @property
    def last_layer(self) -> nn.Module:
        return self.linear

    def class_maps(self, features: Tensor) -> Tensor:
        return activation_maps(features, self.linear)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.pool(features))
        return logits
