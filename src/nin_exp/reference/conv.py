"""Convolution, the linear part of every NiN layer; with a 1x1 kernel it is the paper's cascaded pooling.

Source: LeCun et al. 1998, section II; Lin, Chen and Yan 2014 (Network in Network), eq. 1 and 2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nin_exp.reference.geometry import IntPair, Window, pair
from nin_exp.reference.im2col import Im2col, PlaneIm2col
from nin_exp.reference.initialisers import torch_default
from nin_exp.reference.layout import Array, channels_first, channels_last, values_per_image
from nin_exp.reference.lowering import Lowering, Pointwise, RowLowering
from nin_exp.reference.module import Layer, Parameter, check_input
from nin_exp.reference.parallel import MAX_SUMS, in_parts

FEW_CHANNELS = 8
MANY_PLACES = 128  # a product an image pays from here on


class Conv2d(Layer):
    """Cross-correlation with K kernels, as every framework's "convolution".

    y[n, k, i, j] = b[k] + sum over c, u, v of W[k, c, u, v] x[n, c, i s + u - p, j s + v - p]

    Args:
        in_channels: C.
        out_channels: K.
        kernel_size: ``kh, kw``, or one number for both.
        stride: s, from 1.
        padding: p, zeros on every side.
        bias: whether b is added (and learnt).
        rng: draws the initial weights, as torch: U(-a, a) with a = 1 / sqrt(C kh kw).
        dtype: of weights, inputs and results.

    Shapes: x ``(N, C, H, W)``; y ``(N, K, H', W')`` with H' = (H + 2 p - kh) // s + 1; weight
    ``(K, C, kh, kw)``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair = 0,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.window = Window(
            pair(kernel_size, "kernel_size", 1), pair(stride, "stride", 1), pair(padding, "padding", 0)
        )
        shape = (out_channels, in_channels, *self.window.kernel)
        fan_in = in_channels * self.window.kernel[0] * self.window.kernel[1]
        self.weight = self.own_parameters["weight"] = Parameter(torch_default(shape, fan_in, rng, dtype))
        self.bias: Parameter | None = None
        if bias:
            self.bias = self.own_parameters["bias"] = Parameter(torch_default((out_channels,), fan_in, rng, dtype))

    def forward(self, x: Array) -> Array:
        """``(N, C, H, W)`` to ``(N, K, H', W')``."""
        check_input(self, x, 4, self.weight.data.shape[1])
        images = channels_last(x)
        n, height, width, _ = images.shape
        y = np.empty((n, *self.window.output_size(height, width), len(self.weight.data)), x.dtype)
        lowering, w = self._lowering(y), self._kernel()
        rows = _rows(y)

        def convolve(part: slice) -> None:
            lowering.forward(images[part], w, y[part])
            if self.bias is not None:
                rows[part] += np.tile(self.bias.data, y.shape[2])

        in_parts(convolve, n, self._cost(y), MAX_SUMS)
        self.keep(images)
        return channels_first(y)

    def backward(self, grad_output: Array) -> Array:
        """Each product of y = b + W x gives its factor the other factor times dy.

        db[k] = sum over n, i, j of dy[n, k, i, j]; dW[k, c, u, v] = sum over n, i, j of dy[n, k, i, j]
        x[n, c, i s + u - p, j s + v - p]; dx is the sum of dy W over the places where x was read.
        """
        dy = channels_last(grad_output)
        self._accumulate(dy)
        (images,) = self.kept()
        dx = np.empty_like(images)
        lowering, w = self._lowering(dy), self._kernel()

        def spread(part: slice) -> None:
            lowering.input_gradient(dy[part], w, dx[part])

        in_parts(spread, len(dy), self._cost(dy), MAX_SUMS)
        return channels_first(dx)

    def backward_parameters(self, grad_output: Array) -> None:
        """The gradients of weight and bias alone."""
        self._accumulate(channels_last(grad_output))

    def _accumulate(self, dy: Array) -> None:
        (images,) = self.kept()
        lowering = self._lowering(dy)

        def gradients(part: slice) -> tuple[Array, Array]:
            # sums over one column first: one sum over all places would lose digits in float32
            columns = _rows(dy[part]).sum(axis=1)
            db = columns.reshape(-1, *dy.shape[2:]).sum(axis=1).sum(axis=0)
            return lowering.weight_gradient(images[part], dy[part]), db

        sums = in_parts(gradients, len(dy), self._cost(dy), MAX_SUMS)
        self.weight.accumulate(_total([dw for dw, _ in sums]).transpose(3, 2, 0, 1))
        if self.bias is not None:
            self.bias.accumulate(_total([db for _, db in sums]))

    def _kernel(self) -> Array:
        """The weights as ``(kh, kw, C, K)``, the order of a lowered row."""
        return np.ascontiguousarray(self.weight.data.transpose(2, 3, 1, 0))

    def _cost(self, y: Array) -> int:
        """Values copied to lower an image, and its multiply-adds (a product does sixteen in the time of one copy)."""
        rows, cols, out_channels = (int(size) for size in y.shape[1:])
        return rows * cols * values_per_image(self.weight.data) * (16 + out_channels) // 16

    def _lowering(self, y: Array) -> Lowering:
        """The fastest way of lowering for these sizes; the limits were measured."""
        window = self.window
        if window == Window((1, 1), (1, 1), (0, 0)):
            return Pointwise(window)
        if self.weight.data.shape[1] <= FEW_CHANNELS:
            return PlaneIm2col(window)
        many_places = y.shape[1] * y.shape[2] >= MANY_PLACES
        return RowLowering(window) if window.stride == (1, 1) and many_places else Im2col(window)


def _rows(y: Array) -> Array:
    """View ``(N, H', W', K)`` as ``(N, H', W' K)``: with few channels, loops over whole rows are ten times faster."""
    return y.reshape(*y.shape[:2], y.shape[2] * y.shape[3])


def _total(parts: list[Array]) -> Array:
    """The sum of partial sums, in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
