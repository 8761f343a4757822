"""The conventional CNN of the paper's pooling experiment (Lin, Chen & Yan 2014, arXiv 1312.4400, section 4.6).

Three convolutions and a locally connected layer that makes the class maps, after Hinton et al. 2012
(arXiv 1207.0580): 64 filters of 5x5, 3x3 pools with step 2, the first a maximum, the others averages. Left out:
its response normalisation. The local layer belongs to the class-map block, so GAP against FC swaps the pooling alone.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import FeatureSpec
from nin_exp.errors import ConfigError
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.geometry import trace_size
from nin_exp.layers.local import LocallyConnected
from nin_exp.layers.pooling import pooling
from nin_exp.layers.widths import scaled_width
from nin_exp.ranges import PositiveFloat, PositiveInt, validated


class ConvNet(ChainBackbone):
    """Images ``(B, C, H, W)`` to features ``(B, widths[-1], H/8, W/8)``.

    Args:
        in_spec: shape of one image; with ``local_maps`` the class maps fit no other.
        widths: channels of each convolution.
        kernel_size: side of each convolution's window in pixels, odd; padding keeps the size.
        pool_kinds: the pool after each convolution, 3x3 with step 2, sizes rounded up.
        local_maps: make the class maps by a 3x3 locally connected layer (the paper's), not a 1x1 convolution.
        width: factor on all widths.

    Raises:
        ConfigError: lists of different lengths, or an even kernel.
        GeometryError: a layer does not fit the image.
    """

    @validated
    def __init__(
        self,
        in_spec: ImageSpec,
        *,
        widths: list[PositiveInt],
        kernel_size: PositiveInt,
        pool_kinds: list[Literal["max", "avg"]],
        local_maps: bool,
        width: PositiveFloat,
    ) -> None:
        if not widths or len(pool_kinds) != len(widths):
            raise ConfigError(
                f"backbone.pool_kinds must have {len(widths)} entries, one for each width, got {pool_kinds}"
            )
        if kernel_size % 2 == 0:
            raise ConfigError(f"backbone.kernel_size must be odd, got {kernel_size}; an even one cannot be centred")
        scaled = [scaled_width(channels, width) for channels in widths]
        super().__init__(in_spec.channels, scaled[-1])
        in_channels = in_spec.channels
        for index, (channels, kind) in enumerate(zip(scaled, pool_kinds, strict=True), start=1):
            conv = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2)
            self.add_module(f"conv{index}", conv)
            self.add_module(f"relu{index}", nn.ReLU(inplace=True))
            self.add_module(f"pool{index}", pooling(kind, kernel=3, stride=2, ceil_mode=True))
            in_channels = channels
        self.local_maps = local_maps
        self._features = FeatureSpec(scaled[-1], *trace_size(self.windows(), in_spec.height, in_spec.width))

    def class_map_block(self, num_classes: int) -> nn.Module:
        if not self.local_maps:
            return super().class_map_block(num_classes)
        return LocallyConnected(self._features, num_classes, kernel_size=3)
