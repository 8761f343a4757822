"""LeNet-5 and its relatives: convolutions, each with an activation and a 2x2 pool.

LeCun et al. 1998, section II.B, without the sub-sampling layers' trainable coefficients and the sparse
connection table of C3. Its dense layers are a head: ``head=mlp head.hidden=[120,84]``.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.errors import ConfigError
from nin_exp.layers.activation import activation as activation_layer
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.pooling import pooling
from nin_exp.layers.widths import scaled_width
from nin_exp.ranges import NonNegativeInt, PositiveFloat, PositiveInt, validated


class LeNet(ChainBackbone):
    """Images ``(B, C, H, W)`` to features ``(B, widths[-1], H', W')``, about a quarter of the size.

    Args:
        in_spec: shape of one image.
        widths: channels of each convolution.
        kernel_sizes: side of each convolution's window in pixels.
        paddings: zeros around each convolution's input in pixels.
        activation: the function after each convolution.
        pool_kind: the 2x2 pool after it.
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
        paddings: list[NonNegativeInt],
        activation: Literal["relu", "tanh", "sigmoid"],
        pool_kind: Literal["max", "avg"],
        width: PositiveFloat,
    ) -> None:
        if not widths or not len(widths) == len(kernel_sizes) == len(paddings):
            raise ConfigError(
                "backbone.widths, kernel_sizes and paddings must have one entry for each convolution,"
                f" got {widths}, {kernel_sizes} and {paddings}"
            )
        scaled = [scaled_width(channels, width) for channels in widths]
        super().__init__(in_spec.channels, scaled[-1])
        in_channels = in_spec.channels
        for index, channels in enumerate(scaled, start=1):
            kernel, padding = kernel_sizes[index - 1], paddings[index - 1]
            self.add_module(f"conv{index}", nn.Conv2d(in_channels, channels, kernel, padding=padding))
            self.add_module(f"{activation}{index}", activation_layer(activation))
            self.add_module(f"pool{index}", pooling(pool_kind, kernel=2, stride=2, ceil_mode=False))
            in_channels = channels
