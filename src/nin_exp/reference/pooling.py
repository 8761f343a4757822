"""Pooling over windows and over whole maps.

Sources: Krizhevsky et al. 2012, section 3.4 (overlapping windows); Lin, Chen and Yan 2014, section 3.2
(global average pooling).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from nin_exp.reference.geometry import IntPair, Window, pair
from nin_exp.reference.layout import Array, channels_first, from_order, in_order, memory_axes, values_per_image
from nin_exp.reference.module import Layer
from nin_exp.reference.parallel import in_parts

Tap = tuple[int, tuple[slice, slice], tuple[slice, slice]]


class _WindowPool(Layer):
    """What the pools over windows share: the geometry."""

    def __init__(self, kernel_size: IntPair, stride: IntPair | None, padding: IntPair, ceil_mode: bool) -> None:
        super().__init__()
        kernel = pair(kernel_size, "kernel_size", 1)
        steps = kernel if stride is None else pair(stride, "stride", 1)
        self.window = Window(kernel, steps, pair(padding, "padding", 0), ceil_mode)
        if any(2 * p > k for p, k in zip(self.window.padding, kernel, strict=True)):
            raise ValueError(f"padding must be at most half the kernel_size {kernel}, got {padding}")

    def _taps(self, size: tuple[int, int], places: tuple[int, int]) -> Iterator[Tap]:
        """For each offset in the window, in reading order: its number, where it is read, and what is read."""
        vertical = list(self.window.taps(size[0], places[0], axis=0))
        horizontal = list(self.window.taps(size[1], places[1], axis=1))
        for i, row_places, row_values in vertical:
            for j, col_places, col_values in horizontal:
                number = i * self.window.kernel[1] + j
                yield number, (row_places, col_places), (row_values, col_values)


class MaxPool2d(_WindowPool):
    """y[i, j] = max of the window at (i s - p, j s - p); padding never wins.

    Args:
        kernel_size: of the window.
        stride: s; None for the kernel size.
        padding: p, at most half the kernel.
        ceil_mode: let a last window hang over the edge instead of dropping it (NiN's 3/2 pools then take 32 to
            16 to 8).

    Shapes: ``(N, C, H, W)`` to ``(N, C, H', W')``. The gradient goes to the first of equal maxima in reading
    order, as in torch.
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)

    def forward(self, x: Array) -> Array:
        """Offset by offset: an offset that beats the best so far is the window's new winner."""
        axes = memory_axes(x)  # windows move over H and W alone, so N and C may change places
        images = in_order(x, axes)
        n, *size, channels = images.shape
        places = self.window.output_size(*size)
        y = np.empty((n, *places, channels), x.dtype)
        taps = list(self._taps((size[0], size[1]), places))
        cost = len(taps) * values_per_image(y)
        if not self.keeps_for_backward:
            in_parts(lambda part: _maximum(images[part], y[part], taps), n, cost)
            return from_order(y, axes)
        winner = np.empty(y.shape, np.min_scalar_type(self.window.kernel[0] * self.window.kernel[1]))
        in_parts(lambda part: _winners(images[part], y[part], winner[part], taps), n, cost)
        self.keep(images.shape, winner, axes)
        return from_order(y, axes)

    def backward(self, grad_output: Array) -> Array:
        """``dx`` is the sum of dy over the windows that a value has won."""
        shape, winner, axes = self.kept()
        dy = in_order(grad_output, axes)
        dx = np.zeros(shape, dy.dtype)
        taps = list(self._taps(shape[1:3], winner.shape[1:3]))

        def scatter(part: slice) -> None:
            for number, at, values in taps:
                dx[part][:, *values] += dy[part][:, *at] * (winner[part][:, *at] == number)

        in_parts(scatter, len(dy), len(taps) * values_per_image(dy))
        return from_order(dx, axes)


def _maximum(x: Array, y: Array, taps: list[Tap]) -> None:
    y[...] = -np.inf
    for _, at, values in taps:
        np.maximum(y[:, *at], x[:, *values], out=y[:, *at])


def _winners(x: Array, y: Array, winner: Array, taps: list[Tap]) -> None:
    y[...] = -np.inf
    first = np.empty((*y.shape[1:3], 1), winner.dtype)
    for number, at, _ in reversed(taps):
        first[*at] = number
    winner[...] = first  # the first offset inside the image, should none beat -inf
    for number, at, values in taps:
        # numbers ascend, so a maximum keeps the latest winner; no branch a value (see ReLU)
        wins = (x[:, *values] > y[:, *at]).view(np.uint8) * winner.dtype.type(number)
        np.maximum(winner[:, *at], wins, out=winner[:, *at])
        np.maximum(y[:, *at], x[:, *values], out=y[:, *at])


class AvgPool2d(_WindowPool):
    """y[i, j] = sum of the window at (i s - p, j s - p), divided by its area.

    Args:
        kernel_size: of the window.
        stride: s; None for the kernel size.
        padding: p zeros, at most half the kernel.
        ceil_mode: let a last window hang over the edge instead of dropping it.
        count_include_pad: whether padding counts in the area. What hangs over beyond the padding never does.

    Shapes: ``(N, C, H, W)`` to ``(N, C, H', W')``.
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, x: Array) -> Array:
        """Sum offset by offset, then divide."""
        axes = memory_axes(x)
        images = in_order(x, axes)
        n, *size, channels = images.shape
        places = self.window.output_size(*size)
        y = np.zeros((n, *places, channels), x.dtype)
        taps, area = list(self._taps((size[0], size[1]), places)), self._area(size, places, x.dtype)

        def average(part: slice) -> None:
            for _, at, values in taps:
                y[part][:, *at] += images[part][:, *values]
            y[part] /= area

        in_parts(average, n, len(taps) * values_per_image(y))
        self.keep(images.shape, axes)
        return from_order(y, axes)

    def backward(self, grad_output: Array) -> Array:
        """``dx`` is the sum of dy / area over the windows that a value lies in."""
        shape, axes = self.kept()
        dy = in_order(grad_output, axes)
        dx = np.zeros(shape, dy.dtype)
        places = dy.shape[1], dy.shape[2]
        taps, area = list(self._taps(shape[1:3], places)), self._area(shape[1:3], places, dy.dtype)

        def spread(part: slice) -> None:
            share = dy[part] / area
            for _, at, values in taps:
                dx[part][:, *values] += share[:, *at]

        in_parts(spread, len(dy), len(taps) * values_per_image(dy))
        return from_order(dx, axes)

    def _area(self, size: list[int] | tuple[int, ...], places: tuple[int, int], dtype: np.dtype[np.generic]) -> Array:
        """Values that count in each window, ``(H', W', 1)``."""
        lengths = []
        for axis in range(2):
            k, s, p = self.window.kernel[axis], self.window.stride[axis], self.window.padding[axis]
            start = np.arange(places[axis]) * s - p
            low, high = (-p, size[axis] + p) if self.count_include_pad else (0, size[axis])
            lengths.append(np.minimum(start + k, high) - np.maximum(start, low))
        area: Array = np.multiply.outer(*lengths)[:, :, np.newaxis].astype(dtype)
        return area


class GlobalAvgPool(Layer):
    """y[n, k] = mean over the H W places of x[n, k]: one map a class gives one logit a class.

    Shapes: ``(N, C, H, W)`` to ``(N, C)``; any H and W.
    """

    def forward(self, x: Array) -> Array:
        """The mean of each map."""
        self.keep(x.shape)
        y: Array = x.mean(axis=(2, 3))
        return y

    def backward(self, grad_output: Array) -> Array:
        """``dx = dy / (H W)`` at every place: the sum of a map's gradients is the gradient of its mean."""
        (shape,) = self.kept()
        n, channels, height, width = shape
        share = grad_output / grad_output.dtype.type(height * width)
        dx = np.empty((n, height, width, channels), share.dtype)
        dx[...] = share[:, np.newaxis, np.newaxis, :]
        return channels_first(dx)


class GlobalMaxPool(Layer):
    """y[n, k] = max over the H W places of x[n, k].

    Args:
        ties: of equal maxima the "first" gets the gradient (torch's adaptive pool), or all "share" it (its amax).

    Shapes: ``(N, C, H, W)`` to ``(N, C)``; any H and W.
    """

    def __init__(self, ties: Literal["first", "share"] = "first") -> None:
        super().__init__()
        if ties not in ("first", "share"):
            raise ValueError(f"ties must be one of first, share, got '{ties}'")
        self.ties = ties

    def forward(self, x: Array) -> Array:
        """The maximum of each map."""
        n, channels, height, width = x.shape
        maps = x.reshape(n, channels, height * width)
        winner = maps.argmax(axis=2, keepdims=True)
        y = np.take_along_axis(maps, winner, axis=2)
        self.keep(x.shape, maps == y if self.ties == "share" else winner)
        return y[:, :, 0]

    def backward(self, grad_output: Array) -> Array:
        """``dx = dy`` at the maximum, or ``dy / m`` at each of m equal ones; 0 elsewhere."""
        shape, winners = self.kept()
        dy = grad_output[:, :, np.newaxis]
        if self.ties == "share":
            dx: Array = winners * (dy / winners.sum(axis=2, keepdims=True).astype(dy.dtype))
        else:
            dx = np.zeros((shape[0], shape[1], shape[2] * shape[3]), grad_output.dtype)
            np.put_along_axis(dx, winners, dy, axis=2)
        return dx.reshape(shape)
