"""Global max pooling of the features, then a linear layer (Oquab et al. 2015, CVPR)."""

from __future__ import annotations

from torch import Tensor, nn

from nin_exp.contracts.model import ClassMapBlock, FeatureSpec, Head
from nin_exp.layers.class_maps import activation_maps
from nin_exp.layers.global_pool import GlobalMaxPool
from nin_exp.ranges import PositiveInt, validated


class GMPLinear(Head):
    """Maximum over places, then linear: features ``(B, C, H, W)`` to logits ``(B, K)``; any image size fits.

    Args:
        in_spec: shape of the features.
        num_classes: K.
        class_map_block: not used; this head classifies the features themselves.
    """

    @validated
    def __init__(self, in_spec: FeatureSpec, num_classes: PositiveInt, class_map_block: ClassMapBlock) -> None:
        super().__init__()
        self.pool = GlobalMaxPool()
        self.linear = nn.Linear(in_spec.channels, num_classes)

    @property
    def last_layer(self) -> nn.Module:
        return self.linear

    def class_maps(self, features: Tensor) -> Tensor:
        return activation_maps(features, self.linear)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.pool(features))
        return logits
