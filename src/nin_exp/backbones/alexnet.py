"""AlexNet's convolutions, in the widths of "One weird trick" (Krizhevsky 2014, arXiv 1404.5997), as in torchvision.

Its dense layers are a head: ``head=mlp``.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.errors import ConfigError
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.widths import scaled_width
from nin_exp.ranges import PositiveFloat, PositiveInt, validated

# kernel, stride, padding of the first convolution
_STEMS = {"imagenet": (11, 4, 2), "imagenet_unpadded": (11, 4, 0), "small": (5, 1, 2)}


class AlexNet(ChainBackbone):
    """Images ``(B, C, H, W)`` to features: 3x224x224 to 256x6x6, with the small stem 3x32x32 to 256x3x3.

    Args:
        in_spec: shape of one image.
        stem: the first convolution: 11x11 with step 4 and two pixels of padding (``imagenet``) or none
            (``imagenet_unpadded``: 3x224x224 to 256x5x5), or 5x5 with step 1 (``small``).
        widths: channels of the five convolutions.
        width: factor on all widths.

    Raises:
        ConfigError: not five widths.
    """

    @validated
    def __init__(
        self,
        in_spec: ImageSpec,
        *,
        stem: Literal["imagenet", "imagenet_unpadded", "small"],
        widths: list[PositiveInt],
        width: PositiveFloat,
    ) -> None:
        if len(widths) != 5:
            raise ConfigError(f"backbone.widths must have 5 entries, one for each convolution, got {widths}")
        scaled = [scaled_width(channels, width) for channels in widths]
        super().__init__(in_spec.channels, scaled[-1])
        in_channels = in_spec.channels
        windows = [_STEMS[stem], (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1)]
        for index, (channels, (kernel, stride, padding)) in enumerate(zip(scaled, windows, strict=True), start=1):
            self.add_module(f"conv{index}", nn.Conv2d(in_channels, channels, kernel, stride, padding))
            self.add_module(f"relu{index}", nn.ReLU(inplace=True))
            if index in (1, 2, 5):
                self.add_module(f"pool{index}", nn.MaxPool2d(3, 2))
            in_channels = channels
