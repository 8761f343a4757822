"""The Inception block of GoogLeNet (Szegedy et al. 2015, arXiv 1409.4842, figure 2b)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nin_exp.layers.conv_block import ConvBlock

NORM_EPS = 1e-3  # as in the original Inception code and torchvision


class Inception(nn.Module):
    """Four branches side by side: ``(B, C, H, W)`` to ``(B, sum of branches, H, W)``.

    Args:
        in_channels: channels of the input.
        widths: channels of the 1x1 branch; reduction and output of the 3x3 branch; reduction and output of the
            5x5 branch; projection after the pool.
        wide_kernel: side of the 5x5 branch's window in pixels, odd (torchvision has 3 there).
        batch_norm: normalise after each convolution.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], *, wide_kernel: int, batch_norm: bool) -> None:
        super().__init__()

        def conv(channels: int, out: int, kernel: int) -> ConvBlock:
            return ConvBlock(
                channels, out, kernel, stride=1, padding=kernel // 2, batch_norm=batch_norm, norm_eps=NORM_EPS
            )

        one, three_reduce, three, five_reduce, five, projection = widths
        self.branch1 = conv(in_channels, one, 1)
        self.branch2 = nn.Sequential(conv(in_channels, three_reduce, 1), conv(three_reduce, three, 3))
        self.branch3 = nn.Sequential(conv(in_channels, five_reduce, 1), conv(five_reduce, five, wide_kernel))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(in_channels, projection, 1))
        self.out_channels = one + three + five + projection

    def forward(self, features: Tensor) -> Tensor:
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(features) for branch in branches], dim=1)
