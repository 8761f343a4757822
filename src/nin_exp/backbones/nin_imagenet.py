"""Network in Network for large images: AlexNet's first windows, mlpconv blocks (Caffe model zoo's NIN-ImageNet).

The fourth block makes the class maps (3x3, 1x1, 1x1, all as wide as there are classes) and belongs to the head.
"""

from __future__ import annotations

from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.errors import ConfigError
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.mlpconv import MLPConv
from nin_exp.layers.pooling import dropout as dropout_layer
from nin_exp.layers.widths import scaled_width
from nin_exp.ranges import DropRate, NonNegativeInt, PositiveFloat, PositiveInt, validated


class NINImageNet(ChainBackbone):
    """Images ``(B, C, H, W)`` to features: 3x224x224 to 384x6x6 (384x5x5 without padding at the first layer).

    Args:
        in_spec: shape of one image.
        widths: channels of each block's three layers.
        kernel_sizes: side of each block's first window in pixels.
        strides: step of each block's first convolution in pixels.
        paddings: zeros around each block's input in pixels.
        ceil_mode: round the sizes after the 3x3 pools with step 2 up instead of down.
        dropouts: share of values set to zero after each pool.
        batch_norm: normalise before each ReLU; the convolutions then have no bias.
        width: factor on all widths.

    Raises:
        ConfigError: lists of different lengths.
    """

    @validated
    def __init__(
        self,
        in_spec: ImageSpec,
        *,
        widths: list[PositiveInt],
        kernel_sizes: list[PositiveInt],
        strides: list[PositiveInt],
        paddings: list[NonNegativeInt],
        ceil_mode: bool,
        dropouts: list[DropRate],
        batch_norm: bool,
        width: PositiveFloat,
    ) -> None:
        for name, values in (
            ("kernel_sizes", kernel_sizes),
            ("strides", strides),
            ("paddings", paddings),
            ("dropouts", dropouts),
        ):
            if not widths or len(values) != len(widths):
                raise ConfigError(f"backbone.{name} must have {len(widths)} entries, one for each width, got {values}")
        scaled = [scaled_width(channels, width) for channels in widths]
        super().__init__(in_spec.channels, scaled[-1])
        self.batch_norm = batch_norm
        in_channels = in_spec.channels
        for index, channels in enumerate(scaled):
            block = MLPConv(
                in_channels,
                [channels] * 3,
                kernel_size=kernel_sizes[index],
                stride=strides[index],
                padding=paddings[index],
                batch_norm=batch_norm,
            )
            self.add_module(f"block{index + 1}", block)
            self.add_module(f"pool{index + 1}", nn.MaxPool2d(3, 2, ceil_mode=ceil_mode))
            self.add_module(f"dropout{index + 1}", dropout_layer(dropouts[index], per_channel=False))
            in_channels = channels

    def class_map_block(self, num_classes: int) -> nn.Module:
        block = MLPConv(
            self.num_features,
            [num_classes, num_classes],
            kernel_size=3,
            stride=1,
            padding=1,
            batch_norm=self.batch_norm,
        )
        # the class maps themselves have no ReLU here: it is the head's option
        block.add_module("mlp2", nn.Conv2d(num_classes, num_classes, kernel_size=1))
        return block
