"""The shortcut without parameters that residual networks for small images use."""

from __future__ import annotations

import numpy as np

from nin_exp.reference.layout import Array, channels_first
from nin_exp.reference.module import Layer


class PaddingShortcut(Layer):
    """y = x at every s-th place, and zeros in the channels that x lacks.

    Args:
        extra_channels: channels of zeros, from 0.
        stride: s, from 1.

    Shapes: ``(N, C, H, W)`` to ``(N, C + extra_channels, ceil(H / s), ceil(W / s))``. Source: He et al. 2016, section
    3.3, option A.
    """

    def __init__(self, extra_channels: int, stride: int) -> None:
        super().__init__()
        if extra_channels < 0 or stride < 1:
            raise ValueError(f"extra_channels must be at least 0 and stride 1, got {extra_channels} and {stride}")
        self.extra_channels, self.stride = extra_channels, stride

    def forward(self, x: Array) -> Array:
        """Leave out places, add channels."""
        thinned = x[:, :, :: self.stride, :: self.stride]
        n, channels, height, width = thinned.shape
        y = np.zeros((n, height, width, channels + self.extra_channels), x.dtype)
        y[..., :channels] = thinned.transpose(0, 2, 3, 1)
        self.keep(x.shape)
        return channels_first(y)

    def backward(self, grad_output: Array) -> Array:
        """``dx = dy`` where x was taken, 0 elsewhere."""
        ((n, channels, height, width),) = self.kept()
        dx = np.zeros((n, height, width, channels), grad_output.dtype)
        dx[:, :: self.stride, :: self.stride] = grad_output[:, :channels].transpose(0, 2, 3, 1)
        return channels_first(dx)
