"""Convolution as matrix products: three ways to lay out the image.

Here images are ``(n, H, W, C)``, kernels ``(kh, kw, C, K)`` and results ``(n, H', W', K)``, all contiguous. A way
of lowering offers the three products that training needs. With the linear map A that takes an image to its
lowered matrix, y = (A x) w, so that dw = (A x)^T dy and dx = A^T (dy w^T): the backward pass uses the adjoint
A^T, which adds each lowered value back to where it was copied from. No kernel is flipped anywhere.

Sources: Chellapilla, Puri and Simard 2006 (im2col); Cho and Brand 2017, arXiv 1706.06873 (lowering rows only).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from nin_exp.reference.geometry import Window
from nin_exp.reference.layout import Array

BUFFER_BYTES = 2 << 20  # a lowered piece should stay in a core's cache between its copy and its product


class Lowering(ABC):
    """Products of a convolution with the window ``window``."""

    def __init__(self, window: Window) -> None:
        self.window = window

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
        """y = x w over the channels of each place."""
        np.matmul(_matrix(x), w[0, 0], out=_matrix(y))

    def weight_gradient(self, x: Array, dy: Array) -> Array:
        """dw = x^T dy."""
        return (_matrix(x).T @ _matrix(dy))[np.newaxis, np.newaxis]

    def input_gradient(self, dy: Array, w: Array, dx: Array) -> None:
        """dx = dy w^T."""
        np.matmul(_matrix(dy), w[0, 0].T, out=_matrix(dx))


class Im2col(Lowering):
    """Any stride and padding: each place becomes a row of all ``kh * kw * C`` values under its window."""

    def forward(self, x: Array, w: Array, y: Array) -> None:
        """y = (A x) w."""
        for images, columns in self._columns(x, y.shape[1:3]):
            np.matmul(columns, w.reshape(-1, w.shape[-1]), out=_matrix(y[images]))

    def weight_gradient(self, x: Array, dy: Array) -> Array:
        """dw = (A x)^T dy."""
        k, channels = self.window.kernel, x.shape[3]
        dw = np.zeros((k[0] * k[1] * channels, dy.shape[3]), dy.dtype)
        for images, columns in self._columns(x, dy.shape[1:3]):
            dw += columns.T @ _matrix(dy[images])
        return dw.reshape(*k, channels, dy.shape[3])

    def input_gradient(self, dy: Array, w: Array, dx: Array) -> None:
        """dx = A^T (dy w^T)."""
        (kh, kw), (sh, sw), (ph, pw) = self.window.kernel, self.window.stride, self.window.padding
        n, height, width, channels = dx.shape
        rows, cols = dy.shape[1:3]
        step = self._images_at_once(dy.shape[1:3], channels, dx.itemsize)
        transposed = w.reshape(-1, w.shape[-1]).T
        padded = np.empty((min(n, step), height + 2 * ph, width + 2 * pw, channels), dx.dtype)
        for start in range(0, n, step):
            images = slice(start, min(start + step, n))
            columns = (_matrix(dy[images]) @ transposed).reshape(-1, rows, cols, kh, kw, channels)
            sums = padded[: len(columns)]
            sums[...] = 0
            for i in range(kh):
                for j in range(kw):
                    sums[:, i : i + sh * rows : sh, j : j + sw * cols : sw] += columns[:, :, :, i, j]
            dx[images] = sums[:, ph : ph + height, pw : pw + width]

    def _images_at_once(self, places: tuple[int, ...], channels: int, itemsize: int) -> int:
        lowered = places[0] * places[1] * self.window.kernel[0] * self.window.kernel[1] * channels
        return max(1, BUFFER_BYTES // (lowered * itemsize))

    def _columns(self, x: Array, places: tuple[int, ...]) -> Iterator[tuple[slice, Array]]:
        """Yield slices of images with their lowered rows ``(places, kh * kw * C)``; one buffer serves all."""
        (kh, kw), (sh, sw), (ph, pw) = self.window.kernel, self.window.stride, self.window.padding
        n, height, width, channels = x.shape
        step = min(n, self._images_at_once(places, channels, x.itemsize))
        padded = np.zeros((step, height + 2 * ph, width + 2 * pw, channels), x.dtype)
        columns = np.empty((step, *places, kh, kw, channels), x.dtype)
        b = padded.strides
        # windows[n, i, j, u, v] is padded[n, i * sh + u, j * sw + v]: every window at once, without a copy
        windows = np.lib.stride_tricks.as_strided(
            padded, columns.shape, (b[0], sh * b[1], sw * b[2], b[1], b[2], b[3]), writeable=False
        )
        for start in range(0, n, step):
            count = min(step, n - start)
            padded[:count, ph : ph + height, pw : pw + width] = x[start : start + count]
            np.copyto(columns[:count], windows[:count])
            yield slice(start, start + count), columns[:count].reshape(-1, kh * kw * channels)


class RowLowering(Lowering):
    """Stride 1: lower along the width only; the ``kh`` rows of a window are then ``kh`` products.

    In the buffer ``(H + 2 ph, W', kw * C)`` the rows i to i + H' of one image are a contiguous matrix, for each
    row i of the kernel. The buffer is ``kh`` times smaller than im2col's, and so are the copies.
    """

    def forward(self, x: Array, w: Array, y: Array) -> None:
        """y = sum over i of (A x)[i : i + H'] w[i]."""
        kernel_rows = w.reshape(w.shape[0], -1, w.shape[3])
        product = np.empty((y.shape[1] * y.shape[2], y.shape[3]), y.dtype)
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
        product = np.empty_like(dw)
        for image, lowered in self._lowered(x, dy.shape[2]):
            for i in range(kh):
                np.matmul(self._rows(lowered, i, dy.shape[1]).T, _matrix(dy[image]), out=product[i])
            dw += product
        return dw.reshape(kh, kw, channels, dy.shape[3])

    def input_gradient(self, dy: Array, w: Array, dx: Array) -> None:
        """dx = A^T (sum over i of dy w[i]^T, each added to the rows i to i + H')."""
        kh, kw, channels = w.shape[:3]
        (ph, pw), (height, width) = self.window.padding, dx.shape[1:3]
        rows, cols = dy.shape[1:3]
        transposed = [kernel_row.reshape(kw * channels, -1).T for kernel_row in w]
        lowered = np.empty((height + 2 * ph, cols, kw, channels), dx.dtype)
        product = np.empty((rows, cols, kw, channels), dx.dtype)
        for image in range(len(dx)):
            lowered[...] = 0
            for i in range(kh):
                np.matmul(_matrix(dy[image]), transposed[i], out=product.reshape(rows * cols, -1))
                lowered[i : i + rows] += product
            dx[image] = 0
            for j, places, values in self.window.taps(width, cols, axis=1):
                dx[image][:, values] += lowered[ph : ph + height, places, j]

    def _rows(self, lowered: Array, first: int, count: int) -> Array:
        return lowered[first : first + count].reshape(count * lowered.shape[1], -1)

    def _lowered(self, x: Array, cols: int) -> Iterator[tuple[int, Array]]:
        """Yield each image's number and its buffer; the padding stays 0 as one buffer serves all images."""
        n, height, width, channels = x.shape
        ph = self.window.padding[0]
        lowered = np.zeros((height + 2 * ph, cols, self.window.kernel[1], channels), x.dtype)
        taps = list(self.window.taps(width, cols, axis=1))
        for image in range(n):
            for j, places, values in taps:
                lowered[ph : ph + height, places, j] = x[image][:, values]
            yield image, lowered


def _matrix(images: Array) -> Array:
    """Every place as a row of channels; a view, because the array is contiguous."""
    return images.reshape(-1, images.shape[-1])
