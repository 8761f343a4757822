"""Convolution, batch norm where wanted, ReLU: the unit that most nets repeat."""

from __future__ import annotations

from torch import nn


class ConvBlock(nn.Sequential):
    """``(B, C, H, W)`` to ``(B, out_channels, H', W')``; layers named ``conv``, ``norm``, ``relu``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side of the window in pixels.
        stride: step in pixels.
        padding: zeros added around the input in pixels.
        batch_norm: normalise before the ReLU; the convolution then has no bias.
        norm_eps: added to the variance.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        padding: int,
        batch_norm: bool,
        norm_eps: float,
    ) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=not batch_norm))
        if batch_norm:
            self.add_module("norm", nn.BatchNorm2d(out_channels, eps=norm_eps))
        self.add_module("relu", nn.ReLU(inplace=True))
