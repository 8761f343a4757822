"""Convolution with any stride and padding: copy every window (im2col), then one matrix product.

Two orders of the copy. Each moves the longest runs of neighbouring values for some images: ``Im2col`` runs of
``kw * C`` (many channels), ``PlaneIm2col`` runs of W' times the images (few channels, as in a first layer).

Source: Chellapilla, Puri and Simard 2006, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nin_exp.reference.layout import Array
from nin_exp.reference.lowering import Lowering, as_matrix

BUFFER_BYTES = 1 << 20  # a lowered piece should stay in a core's cache between its copy and its product


class Im2col(Lowering):
    """Each place becomes a row of the ``kh * kw * C`` values under its window."""

    def forward(self, x: Array, w: Array, y: Array) -> None:
        """``y = (A x) w``."""
        for images, columns in self._columns(x, y.shape[1:3]):
            np.matmul(columns, w.reshape(-1, w.shape[3]), out=as_matrix(y[images]))

    def weight_gradient(self, x: Array, dy: Array) -> Array:
        """``dw = (A x)^T dy``."""
        kernel, channels = self.window.kernel, x.shape[3]
        dw = np.zeros((kernel[0] * kernel[1] * channels, dy.shape[3]), dy.dtype)
        for images, columns in self._columns(x, dy.shape[1:3]):
            dw += columns.T @ as_matrix(dy[images])
        return dw.reshape(*kernel, channels, dy.shape[3])

    def input_gradient(self, dy: Array, w: Array, dx: Array) -> None:
        """``dx = A^T (dy w^T)``."""
        (kh, kw), (sh, sw), (ph, pw) = self.window.kernel, self.window.stride, self.window.padding
        n, height, width, channels = dx.shape
        rows, cols = dy.shape[1:3]
        step = self._images_at_once(n, (rows, cols), channels, dx.itemsize)
        padded = np.empty((step, height + 2 * ph, width + 2 * pw, channels), dx.dtype)
        for images in _pieces(n, step):
            columns = as_matrix(dy[images]) @ w.reshape(-1, w.shape[3]).T
            windows = columns.reshape(-1, rows, cols, kh, kw, channels)
            sums = padded[: len(windows)]
            sums[...] = 0
            for i in range(kh):
                for j in range(kw):
                    sums[:, i : i + sh * rows : sh, j : j + sw * cols : sw] += windows[:, :, :, i, j]
            dx[images] = sums[:, ph : ph + height, pw : pw + width]

    def _images_at_once(self, n: int, places: tuple[int, ...], channels: int, itemsize: int) -> int:
        lowered = places[0] * places[1] * self.window.kernel[0] * self.window.kernel[1] * channels * itemsize
        pieces = -(-n * lowered // BUFFER_BYTES)
        return max(1, -(-n // max(1, pieces)))  # of one size, but for the last

    def _columns(self, x: Array, places: tuple[int, ...]) -> Iterator[tuple[slice, Array]]:
        """Yield slices of images with their lowered rows ``(places, kh * kw * C)``; one buffer serves all."""
        (sh, sw), (ph, pw) = self.window.stride, self.window.padding
        n, height, width, channels = x.shape
        step = self._images_at_once(n, places, channels, x.itemsize)
        padded = np.zeros((step, height + 2 * ph, width + 2 * pw, channels), x.dtype)
        columns = np.empty((step, *places, *self.window.kernel, channels), x.dtype)
        b = padded.strides
        # windows[n, i, j, u, v] is padded[n, i * sh + u, j * sw + v]: every window at once, without a copy
        windows = np.lib.stride_tricks.as_strided(
            padded, columns.shape, (b[0], sh * b[1], sw * b[2], b[1], b[2], b[3]), writeable=False
        )
        for images in _pieces(n, step):
            count = images.stop - images.start
            padded[:count, ph : ph + height, pw : pw + width] = x[images]
            np.copyto(columns[:count], windows[:count])
            yield images, columns[:count].reshape(count * places[0] * places[1], -1)


class PlaneIm2col(Im2col):
    """Each of the ``C * kh * kw`` offsets in a window becomes a row: the image's plane, shifted by that offset.

    The transpose of ``Im2col``'s matrix, with C before kh and kw, and with the images of a piece innermost (the
    order of cuda-convnet): a row of a plane is then one run of ``W' * n`` values, however narrow the image.
    """

    def forward(self, x: Array, w: Array, y: Array) -> None:
        """``y = (A x) w``."""
        kernel = _planes_first(w)
        for images, planes in self._planes(x, y.shape[1:3]):
            places = (planes.T @ kernel).reshape(*y.shape[1:3], -1, y.shape[3])
            y[images] = places.transpose(2, 0, 1, 3)

    def weight_gradient(self, x: Array, dy: Array) -> Array:
        """``dw = (A x)^T dy``."""
        kernel, channels = self.window.kernel, x.shape[3]
        dw = np.zeros((channels * kernel[0] * kernel[1], dy.shape[3]), dy.dtype)
        for images, planes in self._planes(x, dy.shape[1:3]):
            dw += planes @ _images_inside(dy[images])
        return dw.reshape(channels, *kernel, dy.shape[3]).transpose(1, 2, 0, 3)

    def input_gradient(self, dy: Array, w: Array, dx: Array) -> None:
        """``dx = A^T (dy w^T)``."""
        (kh, kw), (sh, sw), (ph, pw) = self.window.kernel, self.window.stride, self.window.padding
        n, height, width, channels = dx.shape
        rows, cols = dy.shape[1:3]
        step = self._images_at_once(n, (rows, cols), channels, dx.itemsize)
        kernel = _planes_first(w)
        for images in _pieces(n, step):
            planes = (kernel @ _images_inside(dy[images]).T).reshape(channels, kh, kw, rows, cols, -1)
            sums = np.zeros((channels, height + 2 * ph, width + 2 * pw, planes.shape[5]), dx.dtype)
            for i in range(kh):
                for j in range(kw):
                    sums[:, i : i + sh * rows : sh, j : j + sw * cols : sw] += planes[:, i, j]
            dx[images] = sums[:, ph : ph + height, pw : pw + width].transpose(3, 1, 2, 0)

    def _planes(self, x: Array, places: tuple[int, ...]) -> Iterator[tuple[slice, Array]]:
        """Yield slices of images with their lowered planes ``(C * kh * kw, places * images)``."""
        (sh, sw), (ph, pw) = self.window.stride, self.window.padding
        n, height, width, channels = x.shape
        step = self._images_at_once(n, places, channels, x.itemsize)
        padded = np.zeros((channels, height + 2 * ph, width + 2 * pw, step), x.dtype)
        planes = np.empty((channels, *self.window.kernel, *places, step), x.dtype)
        b = padded.strides
        windows = np.lib.stride_tricks.as_strided(
            padded, planes.shape, (b[0], b[1], b[2], sh * b[1], sw * b[2], b[3]), writeable=False
        )
        for images in _pieces(n, step):
            count = images.stop - images.start
            padded[:, ph : ph + height, pw : pw + width, :count] = x[images].transpose(3, 1, 2, 0)
            np.copyto(planes[..., :count], windows[..., :count])
            yield images, planes[..., :count].reshape(-1, places[0] * places[1] * count)


def _images_inside(dy: Array) -> Array:
    """``(n, H', W', K)`` as rows of channels, the images of a place below each other."""
    return np.ascontiguousarray(dy.transpose(1, 2, 0, 3)).reshape(-1, dy.shape[3])


def _pieces(n: int, step: int) -> Iterator[slice]:
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def _planes_first(w: Array) -> Array:
    return np.ascontiguousarray(w.transpose(2, 0, 1, 3)).reshape(-1, w.shape[3])
