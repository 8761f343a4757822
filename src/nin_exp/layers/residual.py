"""The basic residual block (He et al. 2016, arXiv 1512.03385, figure 2 and section 4.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


class PaddingShortcut(nn.Module):
    """Identity without parameters (option A): every ``stride``-th pixel, missing channels zero."""

    def __init__(self, extra_channels: int, stride: int) -> None:
        super().__init__()
        self.extra_channels = extra_channels
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        kept = features[:, :, :: self.stride, :: self.stride]
        return functional.pad(kept, (0, 0, 0, 0, 0, self.extra_channels))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: ``(B, C, H, W)`` to ``(B, out_channels, H/stride, W/stride)``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, at least ``in_channels`` for a padding shortcut.
        stride: step of the first convolution in pixels.
        shortcut: what bridges a change of shape: a 1x1 ``projection`` (option B) or zero ``padding`` (option A).
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, shortcut: Literal["projection", "padding"]
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride, shortcut)
        self.relu2 = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        branch = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(features)))))
        out: Tensor = self.relu2(torch.add(branch, self.shortcut(features)))
        return out


def _shortcut(in_channels: int, out_channels: int, stride: int, kind: Literal["projection", "padding"]) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if kind == "padding":
        return PaddingShortcut(out_channels - in_channels, stride)
    projection = nn.Sequential()
    projection.add_module("conv", nn.Conv2d(in_channels, out_channels, 1, stride, bias=False))
    projection.add_module("norm", nn.BatchNorm2d(out_channels))
    return projection
