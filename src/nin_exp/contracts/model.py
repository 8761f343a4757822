"""What backbones and heads are. Any backbone takes any head whose geometry fits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from nin_exp.contracts.data import ImageSpec

ClassMapBlock = Callable[[int], nn.Module]
"""num_classes -> a module that maps features ``(B, C, H, W)`` to class maps ``(B, K, H, W)``."""


@dataclass(frozen=True)
class FeatureSpec:
    """The shape of a backbone's output for one image: ``(channels, height, width)``."""

    channels: int
    height: int
    width: int

    @property
    def numel(self) -> int:
        """Number of values for one image."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


class Backbone(nn.Module, ABC):
    """Images ``(B, C, H, W)`` to features ``(B, C', H', W')``. Built as ``Class(in_spec, **arguments)``."""

    @abstractmethod
    def out_spec(self, in_spec: ImageSpec) -> FeatureSpec:
        """The feature shape for an image shape.

        Raises:
            GeometryError: a layer does not fit; names the layer, its input size, and what would fit.
        """

    def class_map_block(self, num_classes: int) -> nn.Module:
        """The layers from the last feature map to one map a class; a 1x1 convolution unless overridden."""
        return nn.Conv2d(self.num_features, num_classes, kernel_size=1)

    @property
    @abstractmethod
    def num_features(self) -> int:
        """Channels of the last feature map."""


class Head(nn.Module, ABC):
    """Features ``(B, C, H, W)`` to logits ``(B, K)``.

    Built as ``Class(in_spec, num_classes, class_map_block, **arguments)``; a head without class maps
    ignores ``class_map_block``.
    """

    @abstractmethod
    def class_maps(self, features: Tensor) -> Tensor | None:
        """Maps ``(B, K, H, W)`` whose place shows where a class was seen, or None when the head has none."""

    @property
    @abstractmethod
    def last_layer(self) -> nn.Module:
        """The layer that makes the logits or the class maps (for its own learning-rate factor)."""


class Network(nn.Module):
    """A backbone with a head: images ``(B, C, H, W)`` to logits ``(B, K)``."""

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(images))
        return logits

    def class_maps(self, images: Tensor) -> Tensor | None:
        """Class maps ``(B, K, H, W)``, or None when the head has none."""
        return self.head.class_maps(self.backbone(images))
