"""A trunk without convolutions: the image, flattened, through dense layers."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, FeatureSpec
from nin_exp.errors import ConfigError, GeometryError
from nin_exp.layers.activation import activation as activation_layer
from nin_exp.layers.flatten import FixedFlatten
from nin_exp.layers.widths import scaled_width
from nin_exp.ranges import PositiveFloat, PositiveInt, validated


class MLPBackbone(Backbone):
    """Images ``(B, C, H, W)`` to features ``(B, hidden[-1], 1, 1)``; ``head=gap_linear`` ends a plain MLP.

    Args:
        in_spec: shape of one image; the trunk fits no other.
        hidden: units of each layer.
        activation: the function after each layer.
        width: factor on all numbers of units.

    Raises:
        ConfigError: no layer.
    """

    @validated
    def __init__(
        self,
        in_spec: ImageSpec,
        *,
        hidden: list[PositiveInt],
        activation: Literal["relu", "tanh", "sigmoid"],
        width: PositiveFloat,
    ) -> None:
        if not hidden:
            raise ConfigError("backbone.hidden must list at least one layer, got []")
        super().__init__()
        self.in_spec = in_spec
        spec = FeatureSpec(in_spec.channels, in_spec.height, in_spec.width)
        self.flatten = FixedFlatten(spec, "backbone.layers.hidden1")
        self.layers = nn.Sequential()
        in_features = spec.numel
        for index, units in enumerate((scaled_width(units, width) for units in hidden), start=1):
            self.layers.add_module(f"hidden{index}", nn.Linear(in_features, units))
            self.layers.add_module(f"{activation}{index}", activation_layer(activation))
            in_features = units
        self._num_features = in_features

    @property
    def num_features(self) -> int:
        return self._num_features

    def out_spec(self, in_spec: ImageSpec) -> FeatureSpec:
        if in_spec != self.in_spec:
            raise GeometryError(
                f"MLPBackbone was built for images of {self.in_spec}, got {in_spec}; give images of that size"
            )
        return FeatureSpec(self.num_features, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        units: Tensor = self.layers(self.flatten(images))
        return units[:, :, None, None]
