"""Flattening for layers that are tied to one size."""

from __future__ import annotations

from torch import Tensor, nn

from nin_exp.contracts.model import FeatureSpec
from nin_exp.errors import GeometryError


class FixedFlatten(nn.Module):
    """``(B, C, H, W)`` to ``(B, C*H*W)``, for one size only.

    Args:
        spec: the shape that the following layer was built for.
        name: the following layer's name, for the message.
    """

    def __init__(self, spec: FeatureSpec, name: str) -> None:
        super().__init__()
        self.spec = spec
        self.name = name

    def forward(self, features: Tensor) -> Tensor:
        """Flatten.

        Raises:
            GeometryError: the features come from another image size.
        """
        _, channels, height, width = features.shape
        if (channels, height, width) != (self.spec.channels, self.spec.height, self.spec.width):
            raise GeometryError(
                f"{self.name} must get {self.spec}, got {channels}x{height}x{width};"
                " give images of the training size, or use a head with global pooling (gap, gap_linear)"
            )
        return features.flatten(1)
