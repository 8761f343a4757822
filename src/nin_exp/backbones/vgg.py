"""VGG (Simonyan & Zisserman 2015, arXiv 1409.1556, table 1): stages of 3x3 convolutions, each ended by a 2x2 pool.

Its dense layers are a head: ``head=mlp``. With batch norm the convolutions have no bias (torchvision's do).
"""

from __future__ import annotations

from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.errors import ConfigError
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.conv_block import ConvBlock
from nin_exp.layers.widths import scaled_width
from nin_exp.ranges import PositiveFloat, PositiveInt, validated


class VGG(ChainBackbone):
    """Images ``(B, C, H, W)`` to features ``(B, 512, H/32, W/32)`` with five stages.

    Args:
        in_spec: shape of one image.
        stages: channels of each convolution in each stage.
        batch_norm: normalise before each ReLU.
        width: factor on all widths.

    Raises:
        ConfigError: an empty stage.
    """

    @validated
    def __init__(
        self,
        in_spec: ImageSpec,
        *,
        stages: list[list[PositiveInt]],
        batch_norm: bool,
        width: PositiveFloat,
    ) -> None:
        if not stages or not all(stages):
            raise ConfigError(f"backbone.stages must list at least one width for each stage, got {stages}")
        super().__init__(in_spec.channels, scaled_width(stages[-1][-1], width))
        in_channels = in_spec.channels
        for index, stage in enumerate(stages, start=1):
            for place, channels in enumerate((scaled_width(channels, width) for channels in stage), start=1):
                block = ConvBlock(in_channels, channels, 3, stride=1, padding=1, batch_norm=batch_norm, norm_eps=1e-5)
                self.add_module(f"conv{index}_{place}", block)
                in_channels = channels
            self.add_module(f"pool{index}", nn.MaxPool2d(2, 2))
