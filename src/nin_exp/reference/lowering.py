"""Convolution as matrix products: what a way of lowering offers, and the two for stride 1.

Here images are ``(n, H, W, C)``, kernels ``(kh, kw, C, K)`` and results ``(n, H', W', K)``; kernels are contiguous,
and the others lie as ``prepare`` and ``empty`` give them. A way of lowering offers the three products that training
needs. With the linear map A that takes an image to its lowered matrix, y = (A x) w, so that dw = (A x)^T dy and
dx = A^T (dy w^T): the backward pass uses the adjoint A^T, which adds each lowered value back to where it was copied
from. No kernel is flipped anywhere.

Source: Cho and Brand 2017, arXiv 1706.06873 (lowering rows only).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from nin_exp.reference.geometry import Window
from nin_exp.reference.layout import Array, channels_last
from nin_exp.reference.parallel import scratch


class Lowering(ABC):
    """Products of a convolution with the window ``window``."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def prepare(self, images: Array) -> Array:
        """View ``(N, C, H, W)`` as ``(N, H, W, C)`` in a layout that the products take; copies where needed."""
        return channels_last(images)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
        """An array for results ``(N, H', W', K)`` in the layout that suits them."""
        return np.empty(shape, dtype)

    @abstractmethod
    def forward(self, x: Array, w: Array, y: Array) -> None:
        """Write the convolution of ``x`` with ``w`` to ``y``."""

    @abstractmethod
    def weight_gradient(self, x: Array, dy: Array) -> Array:
        """Return dw, summed over the images, of shape ``(kh, kw, C, K)``."""

    @abstractmethod
    def input_gradient(self, dy: Array, w: Array, dx: Array) -> None:
        """Write the gradient of the input to ``dx``."""


class Pointwise(Lowering):
    """A 1x1 kernel with stride 1: the image is its own lowered matrix, so one product does it."""

    def forward(self, x: Array, w: Array, y: Array) -> None:
        """``y = x w`` over the channels of each place."""
        np.matmul(as_matrix(x), w[0, 0], out=as_matrix(y))

    def weight_gradient(self, x: Array, dy: Array) -> Array:
        """``dw = x^T dy``."""
        return (as_matrix(x).T @ as_matrix(dy))[np.newaxis, np.newaxis]

    def input_gradient(self, dy: Array, w: Array, dx: Array) -> None:
        """``dx = dy w^T``."""
        np.matmul(as_matrix(dy), w[0, 0].T, out=as_matrix(dx))


class RowLowering(Lowering):
    """Stride 1: lower along the width only; the ``kh`` rows of a window are then ``kh`` products.

    In the buffer ``(H + 2 ph, W', kw * C)`` the rows i to i + H' of one image are a contiguous matrix, for
    each row i of the kernel. The buffer is ``kh`` times smaller than im2col's, and so are the copies.
    """

    def forward(self, x: Array, w: Array, y: Array) -> None:
        """``y`` is the sum over i of (A x)[i : i + H'] w[i]."""
        kernel_rows = w.reshape(w.shape[0], -1, w.shape[3])
        product = scratch("product", (y.shape[1] * y.shape[2], y.shape[3]), y.dtype)
        for image, lowered in self._lowered(x, y.shape[2]):
            total = y[image].reshape(product.shape)
            np.matmul(self._rows(lowered, 0, y.shape[1]), kernel_rows[0], out=total)
            for i in range(1, len(w)):
                np.matmul(self._rows(lowered, i, y.shape[1]), kernel_rows[i], out=product)
                total += product

    def weight_gradient(self, x: Array, dy: Array) -> Array:
        """dw[i] = sum over the images of (A x)[i : i + H']^T dy."""
        (kh, kw), channels = self.window.kernel, x.shape[3]
        dw = np.zeros((kh, kw * channels, dy.shape[3]), dy.dtype)
        product = scratch("product", dw.shape, dw.dtype)
        for image, lowered in self._lowered(x, dy.shape[2]):
            for i in range(kh):
                np.matmul(self._rows(lowered, i, dy.shape[1]).T, as_matrix(dy[image]), out=product[i])
            dw += product
        return dw.reshape(kh, kw, channels, dy.shape[3])

    def input_gradient(self, dy: Array, w: Array, dx: Array) -> None:
        """``dx = A^T`` (sum over i of dy w[i]^T, moved down by i rows): one product, with the kh rows side by side."""
        (kh, kw, channels, units), (height, width) = w.shape, dx.shape[1:3]
        rows, cols = dy.shape[1:3]
        kernel_rows = np.ascontiguousarray(w.transpose(0, 3, 1, 2)).reshape(kh * units, kw * channels)
        above = scratch("gradient", (height, cols, kh, units), dx.dtype)
        above[...] = 0
        product = scratch("product", (height, cols, kw, channels), dx.dtype)
        vertical = list(self.window.taps(height, rows, axis=0))
        horizontal = list(self.window.taps(width, cols, axis=1))
        for image in range(len(dx)):
            for i, places, values in vertical:
                above[values, :, i] = dy[image][places]
            np.matmul(
                above.reshape(height * cols, kh * units),
                kernel_rows,
                out=product.reshape(height * cols, kw * channels),
            )
            dx[image] = 0
            for j, places, values in horizontal:
                dx[image][:, values] += product[:, places, j]

    def _rows(self, lowered: Array, first: int, count: int) -> Array:
        return lowered[first : first + count].reshape(count * lowered.shape[1], -1)

    def _lowered(self, x: Array, cols: int) -> Iterator[tuple[int, Array]]:
        """Yield each image's number and its buffer; the padding stays 0 as one buffer serves all images."""
        n, height, width, channels = x.shape
        ph = self.window.padding[0]
        lowered = scratch("lowered", (height + 2 * ph, cols, self.window.kernel[1], channels), x.dtype)
        lowered[...] = 0
        taps = list(self.window.taps(width, cols, axis=1))
        for image in range(n):
            for j, places, values in taps:
                lowered[ph : ph + height, places, j] = x[image][:, values]
            yield image, lowered


def as_matrix(images: Array) -> Array:
    """Every place as a row of channels; a view, because the array is contiguous."""
    return images.reshape(-1, images.shape[-1])
