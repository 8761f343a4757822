"""Network in Network (Lin, Chen & Yan 2014, arXiv 1312.4400), its author's CIFAR, SVHN and MNIST variants.

Widths and pools follow the author's cuda-convnet definitions. The trunk ends after block 3's second layer:
the last 1x1 convolution makes the class maps and belongs to the head.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.errors import ConfigError
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.mlpconv import MLPConv
from nin_exp.layers.pooling import dropout as dropout_layer
from nin_exp.layers.pooling import pooling
from nin_exp.layers.widths import scaled_width
from nin_exp.ranges import DropRate, PositiveFloat, PositiveInt, validated


class NIN(ChainBackbone):
    """mlpconv blocks with a pool and dropout between them: images ``(B, C, H, W)`` to ``(B, 192, H/4, W/4)``.

    Args:
        in_spec: shape of one image.
        widths: channels of each block's layers; the last block has one layer less (the head adds it).
        kernel_sizes: side of each block's first convolution in pixels, odd; padding keeps the size.
        pool_kinds: the pool after each block but the last.
        pool_kernel: side of the pool's window in pixels.
        pool_stride: step of the pool in pixels.
        ceil_mode: round pooled sizes up (32 to 16, 28 to 14), as cuda-convnet and Caffe do, or down.
        dropout: share of values set to zero after each pool.
        channel_dropout: drop whole channels instead of single values.
        batch_norm: normalise before each ReLU; the convolutions then have no bias.
        width: factor on all widths; each stays at 8 channels or more.
        gaussian_stds: deviation of each convolution's initial weights in order, for the gaussian scheme;
            None leaves one for all.

    Raises:
        ConfigError: lists of different lengths, or an even kernel.
    """

    @validated
    def __init__(
        self,
        in_spec: ImageSpec,
        *,
        widths: list[list[PositiveInt]],
        kernel_sizes: list[PositiveInt],
        pool_kinds: list[Literal["max", "avg"]],
        pool_kernel: PositiveInt,
        pool_stride: PositiveInt,
        ceil_mode: bool,
        dropout: DropRate,
        channel_dropout: bool,
        batch_norm: bool,
        width: PositiveFloat,
        gaussian_stds: list[PositiveFloat] | None,
    ) -> None:
        _check_lists(widths, kernel_sizes, pool_kinds, gaussian_stds)
        scaled = [[scaled_width(channels, width) for channels in block] for block in widths]
        super().__init__(in_spec.channels, scaled[-1][-1])
        self._gaussian_stds = gaussian_stds
        in_channels = in_spec.channels
        for index, (channels, kernel) in enumerate(zip(scaled, kernel_sizes, strict=True), start=1):
            block = MLPConv(
                in_channels, channels, kernel_size=kernel, stride=1, padding=kernel // 2, batch_norm=batch_norm
            )
            self.add_module(f"block{index}", block)
            in_channels = channels[-1]
            if index < len(scaled):
                kind = pool_kinds[index - 1]
                pool = pooling(kind, kernel=pool_kernel, stride=pool_stride, ceil_mode=ceil_mode)
                self.add_module(f"pool{index}", pool)
                self.add_module(f"dropout{index}", dropout_layer(dropout, per_channel=channel_dropout))

    def gaussian_stds(self) -> dict[str, float]:
        """Convolution name -> deviation of its initial weights; empty when one deviation serves all."""
        if self._gaussian_stds is None:
            return {}
        names = (name for name, layer in self.named_modules() if isinstance(layer, nn.Conv2d))
        return dict(zip(names, self._gaussian_stds, strict=True))


def _check_lists(
    widths: list[list[int]],
    kernel_sizes: list[int],
    pool_kinds: list[Literal["max", "avg"]],
    stds: list[float] | None,
) -> None:
    if not widths or not all(widths):
        raise ConfigError(f"backbone.widths must list at least one width for each block, got {widths}")
    if len(kernel_sizes) != len(widths):
        raise ConfigError(
            f"backbone.kernel_sizes must have {len(widths)} entries, one for each block, got {kernel_sizes}"
        )
    if any(kernel % 2 == 0 for kernel in kernel_sizes):
        raise ConfigError(f"backbone.kernel_sizes must be odd, got {kernel_sizes}; an even one cannot be centred")
    if len(pool_kinds) != len(widths) - 1:
        raise ConfigError(
            f"backbone.pool_kinds must have {len(widths) - 1} entries, one after each block but the last,"
            f" got {pool_kinds}"
        )
    convolutions = sum(len(block) for block in widths)
    if stds is not None and len(stds) != convolutions:
        raise ConfigError(
            f"backbone.gaussian_stds must have {convolutions} entries, one for each convolution, got {stds}"
        )
