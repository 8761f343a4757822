"""A backbone that is a chain of layers; its output size follows from their windows."""

from __future__ import annotations

from torch import Tensor

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, FeatureSpec
from nin_exp.errors import GeometryError
from nin_exp.layers.geometry import Window, trace_size, windows_along


class ChainBackbone(Backbone):
    """Passes images through its children in the order of definition; no size is stated twice.

    Args:
        in_channels: channels of the images.
        num_features: channels of the last feature map.
    """

    def __init__(self, in_channels: int, num_features: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self._num_features = num_features

    @property
    def num_features(self) -> int:
        return self._num_features

    def is_side_branch(self, name: str) -> bool:
        """Whether the layer of this dotted name runs beside the main path; none unless overridden."""
        return False

    def windows(self) -> list[Window]:
        """The windows from the image to the features, in order."""
        return windows_along(self, self.is_side_branch)

    def out_spec(self, in_spec: ImageSpec) -> FeatureSpec:
        if in_spec.channels != self.in_channels:
            raise GeometryError(
                f"{type(self).__name__} was built for images with {self.in_channels} channels, got {in_spec};"
                " give images of the data set it was built for"
            )
        height, width = trace_size(self.windows(), in_spec.height, in_spec.width)
        return FeatureSpec(self.num_features, height, width)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        for layer in self.children():
            features = layer(features)
        return features
