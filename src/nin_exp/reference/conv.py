"""Convolution, the linear part of every NiN layer; with a 1x1 kernel it is the paper's cascaded pooling.

Source: LeCun et al. 1998, section II; Lin, Chen and Yan 2014 (Network in Network), eq. 1 and 2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nin_exp.reference.geometry import IntPair, Window, pair
from nin_exp.reference.im2col import Im2col, PlaneIm2col
from nin_exp.reference.initialisers import torch_default
from nin_exp.reference.layout import Array, channels_first, values_per_image
from nin_exp.reference.lowering import Lowering, Pointwise, RowLowering
from nin_exp.reference.module import Layer, Parameter, check_input
from nin_exp.reference.parallel import MAX_SUMS, in_parts

FEW_INPUTS, FEW_OUTPUTS = 8, 16  # channels; up to these, images lie innermost
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
        places = self.window.output_size(x.shape[2], x.shape[3])
        lowering, w = self._lowering(places), self._kernel()
        images, y = lowering.prepare(x), lowering.empty((len(x), *places, w.shape[3]), x.dtype)

        def convolve(part: slice) -> None:
            lowering.forward(images[part], w, y[part])
            if self.bias is not None:
                _add_bias(y[part], self.bias.data)

        in_parts(convolve, len(x), self._cost(places), MAX_SUMS)
        self.keep(images)
        return channels_first(y)

    def backward(self, grad_output: Array) -> Array:
        """Each product of y = b + W x gives its factor the other factor times dy.

        db[k] = sum over n, i, j of dy[n, k, i, j]; dW[k, c, u, v] = sum over n, i, j of dy[n, k, i, j]
        x[n, c, i s + u - p, j s + v - p]; dx is the sum of dy W over the places where x was read.
        """
        self.backward_parameters(grad_output)
        (images,) = self.kept()
        places = grad_output.shape[2], grad_output.shape[3]
        lowering, w = self._lowering(places), self._kernel()
        dy, dx = lowering.prepare(grad_output), np.empty_like(images)

        def spread(part: slice) -> None:
            lowering.input_gradient(dy[part], w, dx[part])

        in_parts(spread, len(dy), self._cost(places), MAX_SUMS)
        return channels_first(dx)

    def backward_parameters(self, grad_output: Array) -> None:
        """The gradients of weight and bias alone."""
        (images,) = self.kept()
        places = grad_output.shape[2], grad_output.shape[3]
        lowering = self._lowering(places)
        dy = lowering.prepare(grad_output)

        def gradients(part: slice) -> tuple[Array, Array]:
            return lowering.weight_gradient(images[part], dy[part]), _sum_of_places(dy[part])

        sums = in_parts(gradients, len(dy), self._cost(places), MAX_SUMS)
        self.weight.accumulate(_total([dw for dw, _ in sums]).transpose(3, 2, 0, 1))
        if self.bias is not None:
            self.bias.accumulate(_total([db for _, db in sums]))

    def _kernel(self) -> Array:
        """The weights as ``(kh, kw, C, K)``, the order of a lowered row."""
        return np.ascontiguousarray(self.weight.data.transpose(2, 3, 1, 0))

    def _cost(self, places: tuple[int, int]) -> int:
        """Values copied to lower an image, and its multiply-adds (a product does sixteen in the time of one copy)."""
        out_channels = len(self.weight.data)
        return places[0] * places[1] * values_per_image(self.weight.data) * (16 + out_channels) // 16

    def _lowering(self, places: tuple[int, int]) -> Lowering:
        """The fastest way of lowering for these sizes; the limits were measured."""
        window = self.window
        if window == Window((1, 1), (1, 1), (0, 0)):
            return Pointwise(window)
        out_channels, in_channels = self.weight.data.shape[:2]
        if in_channels <= FEW_INPUTS:
            return PlaneIm2col(window) if out_channels <= FEW_OUTPUTS else Im2col(window)
        many_places = places[0] * places[1] >= MANY_PLACES
        return RowLowering(window) if window.stride == (1, 1) and many_places else Im2col(window)


def _add_bias(y: Array, bias: Array) -> None:
    """Add to ``(n, H', W', K)`` in place; contiguous, by whole rows: loops over few channels are ten times slower."""
    if y.flags.c_contiguous:
        rows = y.reshape(*y.shape[:2], y.shape[2] * y.shape[3])
        rows += np.tile(bias, y.shape[2])
    else:
        y += bias


def _sum_of_places(dy: Array) -> Array:
    """Sum ``(n, H', W', K)`` to ``(K,)``, column by column first: one long sum would lose digits in float32."""
    if dy.flags.c_contiguous:
        columns = dy.reshape(*dy.shape[:2], dy.shape[2] * dy.shape[3]).sum(axis=1)
        dy = columns.reshape(-1, 1, *dy.shape[2:])
    total: Array = dy.sum(axis=(1, 2)).sum(axis=0)
    return total


def _total(parts: list[Array]) -> Array:
    """The sum of partial sums, in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
