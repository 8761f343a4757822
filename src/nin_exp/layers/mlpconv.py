"""The mlpconv block of Network in Network (Lin, Chen & Yan 2014, arXiv 1312.4400, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


class MLPConv(nn.Sequential):
    """A convolution and 1x1 convolutions, a ReLU after each: ``(B, C, H, W)`` to ``(B, widths[-1], H', W')``.

    Args:
        in_channels: channels of the input.
        widths: channels of the convolution (named ``conv``) and of each 1x1 layer (``mlp1``, ``mlp2`` …).
        kernel_size: side of the first convolution's window in pixels.
        stride: step of the first convolution in pixels.
        padding: zeros added around the input in pixels.
        batch_norm: normalise before each ReLU; the convolutions then have no bias.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        *,
        kernel_size: int,
        stride: int,
        padding: int,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        for index, channels in enumerate(widths):
            name = "conv" if index == 0 else f"mlp{index}"
            conv = (
                nn.Conv2d(in_channels, channels, kernel_size, stride, padding, bias=not batch_norm)
                if index == 0
                else nn.Conv2d(in_channels, channels, kernel_size=1, bias=not batch_norm)
            )
            self.add_module(name, conv)
            if batch_norm:
                self.add_module(f"{name}_norm", nn.BatchNorm2d(channels))
            self.add_module(f"{name}_relu", nn.ReLU(inplace=True))
            in_channels = channels
