"""Residual nets of basic blocks (He et al. 2016, arXiv 1512.03385): ResNet-18 and -34, and section 4.2's for CIFAR."""

from __future__ import annotations

from typing import Literal

from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.errors import ConfigError
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.conv_block import ConvBlock
from nin_exp.layers.residual import BasicBlock
from nin_exp.layers.widths import scaled_width
from nin_exp.ranges import PositiveFloat, PositiveInt, validated


class ResNet(ChainBackbone):
    """Images ``(B, C, H, W)`` to features ``(B, widths[-1], H', W')``; each stage but the first halves the size.

    Args:
        in_spec: shape of one image.
        stem: 7x7 with step 2 and a pool (``imagenet``, a quarter of the size) or 3x3 (``small``, full size).
        widths: channels of each stage; the stem has the first stage's.
        blocks: basic blocks in each stage.
        shortcut: what bridges a change of shape: a 1x1 projection (option B) or zero padding (option A).
        width: factor on all widths.

    Raises:
        ConfigError: lists of different lengths, or fewer channels later with padding shortcuts.
    """

    @validated
    def __init__(
        self,
        in_spec: ImageSpec,
        *,
        stem: Literal["imagenet", "small"],
        widths: list[PositiveInt],
        blocks: list[PositiveInt],
        shortcut: Literal["projection", "padding"],
        width: PositiveFloat,
    ) -> None:
        if not widths or len(widths) != len(blocks):
            raise ConfigError(f"backbone.widths and blocks must have one entry a stage, got {widths} and {blocks}")
        if shortcut == "padding" and widths != sorted(widths):
            raise ConfigError(f"backbone.widths must not fall with shortcut=padding, got {widths}")
        scaled = [scaled_width(channels, width) for channels in widths]
        super().__init__(in_spec.channels, scaled[-1])
        self.stem = _stem(stem, in_spec.channels, scaled[0])
        in_channels = scaled[0]
        for stage, (channels, count) in enumerate(zip(scaled, blocks, strict=True), start=1):
            layers = nn.Sequential()
            for place in range(1, count + 1):
                stride = 2 if place == 1 and stage > 1 else 1
                layers.add_module(f"block{place}", BasicBlock(in_channels, channels, stride=stride, shortcut=shortcut))
                in_channels = channels
            self.add_module(f"stage{stage}", layers)

    def is_side_branch(self, name: str) -> bool:
        return ".shortcut" in name


def _stem(kind: Literal["imagenet", "small"], in_channels: int, channels: int) -> nn.Sequential:
    if kind == "small":
        return ConvBlock(in_channels, channels, 3, stride=1, padding=1, batch_norm=True, norm_eps=1e-5)
    stem = ConvBlock(in_channels, channels, 7, stride=2, padding=3, batch_norm=True, norm_eps=1e-5)
    stem.add_module("pool", nn.MaxPool2d(3, 2, padding=1))
    return stem
