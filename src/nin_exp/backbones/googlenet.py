"""GoogLeNet (Szegedy et al. 2015, arXiv 1409.4842, table 1), without the auxiliary classifiers.

Batch norm is an addition (torchvision has it too). The ``small`` stem keeps the size of small images.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.errors import ConfigError
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.conv_block import ConvBlock
from nin_exp.layers.inception import NORM_EPS, Inception
from nin_exp.layers.widths import scaled_width
from nin_exp.ranges import PositiveFloat, PositiveInt, validated

# Rows of table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection; None stands for a pool.
_TABLE: tuple[tuple[str, tuple[int, ...] | None], ...] = (
    ("inception3a", (64, 96, 128, 16, 32, 32)),
    ("inception3b", (128, 128, 192, 32, 96, 64)),
    ("pool3", None),
    ("inception4a", (192, 96, 208, 16, 48, 64)),
    ("inception4b", (160, 112, 224, 24, 64, 64)),
    ("inception4c", (128, 128, 256, 24, 64, 64)),
    ("inception4d", (112, 144, 288, 32, 64, 64)),
    ("inception4e", (256, 160, 320, 32, 128, 128)),
    ("pool4", None),
    ("inception5a", (256, 160, 320, 32, 128, 128)),
    ("inception5b", (384, 192, 384, 48, 128, 128)),
)
_STEM_WIDTHS = (64, 64, 192)


class GoogLeNet(ChainBackbone):
    """Images ``(B, C, H, W)`` to features ``(B, 1024, H', W')``: 1/32 of the size, with the small stem 1/4.

    Args:
        in_spec: shape of one image.
        stem: 7x7 with step 2 and two pools (``imagenet``) or 3x3 without pools (``small``).
        wide_kernel: side of the window in the 5x5 branches in pixels, odd (torchvision has 3 there).
        last_pool_kernel: side of the last pool's window in pixels (torchvision has 2).
        batch_norm: normalise before each ReLU.
        width: factor on all widths.

    Raises:
        ConfigError: an even ``wide_kernel``.
    """

    @validated
    def __init__(
        self,
        in_spec: ImageSpec,
        *,
        stem: Literal["imagenet", "small"],
        wide_kernel: PositiveInt,
        last_pool_kernel: PositiveInt,
        batch_norm: bool,
        width: PositiveFloat,
    ) -> None:
        if wide_kernel % 2 == 0:
            raise ConfigError(f"backbone.wide_kernel must be odd, got {wide_kernel}; an even one cannot be centred")
        last = _TABLE[-1][1] or ()
        branches = [scaled_width(last[index], width) for index in (0, 2, 4, 5)]
        super().__init__(in_spec.channels, sum(branches))
        in_channels = self._add_stem(stem, in_spec.channels, batch_norm, width)
        for name, widths in _TABLE:
            if widths is None:
                self.add_module(name, nn.MaxPool2d(last_pool_kernel if name == "pool4" else 3, 2, ceil_mode=True))
                continue
            scaled = [scaled_width(channels, width) for channels in widths]
            block = Inception(in_channels, scaled, wide_kernel=wide_kernel, batch_norm=batch_norm)
            self.add_module(name, block)
            in_channels = block.out_channels

    def _add_stem(self, stem: str, in_channels: int, batch_norm: bool, width: float) -> int:
        # ceil mode as in Caffe, where the net was published
        pooled = stem == "imagenet"
        first = (7, 2, 3) if pooled else (3, 1, 1)
        for index, (channels, window) in enumerate(
            zip(_STEM_WIDTHS, (first, (1, 1, 0), (3, 1, 1)), strict=True), start=1
        ):
            kernel, stride, padding = window
            out = scaled_width(channels, width)
            block = ConvBlock(
                in_channels, out, kernel, stride=stride, padding=padding, batch_norm=batch_norm, norm_eps=NORM_EPS
            )
            self.add_module(f"conv{index}", block)
            if pooled and index in (1, 3):
                self.add_module(f"pool{1 if index == 1 else 2}", nn.MaxPool2d(3, 2, ceil_mode=True))
            in_channels = out
        return in_channels

    def is_side_branch(self, name: str) -> bool:
        # every branch keeps the size; the third has the widest window and stands for the block
        return any(f".branch{index}" in name for index in (1, 2, 4))
