"""Convolution with any stride and padding: copy every window (im2col), then one matrix product.

Two orders of the copy. Each moves the longest runs of neighbouring values for some images: ``Im2col`` runs of
``kw * C``, ``PlaneIm2col`` runs of W' times the images (few channels before and after, as in a thin first layer).

Source: Chellapilla, Puri and Simard 2006, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from nin_exp.reference.layout import Array
from nin_exp.reference.lowering import Lowering, as_matrix
from nin_exp.reference.parallel import scratch

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
            dw += np.matmul(columns.T, as_matrix(dy[images]), out=scratch("product", dw.shape, dw.dtype))
        return dw.reshape(*kernel, channels, dy.shape[3])

    def input_gradient(self, dy: Array, w: Array, dx: Array) -> None:
        """``dx = A^T (dy w^T)``."""
        (kh, kw), (sh, sw), (ph, pw) = self.window.kernel, self.window.stride, self.window.padding
        n, height, width, channels = dx.shape
        rows, cols = dy.shape[1:3]
        step = self._images_at_once(n, (rows, cols), channels, dx.itemsize)
        for images in _pieces(n, step):
            count = images.stop - images.start
            windows = scratch("lowered", (count, rows, cols, kh, kw, channels), dx.dtype)
            np.matmul(
                as_matrix(dy[images]),
                w.reshape(-1, w.shape[3]).T,
                out=windows.reshape(count * rows * cols, kh * kw * channels),
            )
            sums = scratch("padded", (count, height + 2 * ph, width + 2 * pw, channels), dx.dtype)
            sums[...] = 0
            for i in range(kh):
                for j in range(kw):
                    sums[:, i : i + sh * rows : sh, j : j + sw * cols : sw] += windows[:, :, :, i, j]
            dx[images] = sums[:, ph : ph + height, pw : pw + width]

    def _images_at_once(self, n: int, places: tuple[int, ...], channels: int, itemsize: int) -> int:
        lowered = places[0] * places[1] * self.window.kernel[0] * self.window.kernel[1] * channels * itemsize
        return _piece(n, lowered)

    def _columns(self, x: Array, places: tuple[int, ...]) -> Iterator[tuple[slice, Array]]:
        """Yield slices of images with their lowered rows ``(places, kh * kw * C)``; one buffer serves all."""
        (sh, sw), (ph, pw) = self.window.stride, self.window.padding
        n, height, width, channels = x.shape
        step = self._images_at_once(n, places, channels, x.itemsize)
        padded = scratch("padded", (step, height + 2 * ph, width + 2 * pw, channels), x.dtype)
        padded[...] = 0
        columns = scratch("lowered", (step, *places, *self.window.kernel, channels), x.dtype)
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


class PlaneIm2col(Lowering):
    """Each of the ``C * kh * kw`` offsets in a window becomes a row: the images' planes, shifted by that offset.

    The transpose of ``Im2col``'s matrix, with C before kh and kw, and with the images innermost: a row of a plane
    is then one run of ``W' * n`` values, however narrow the image. It goes by pieces of some rows of all images.
    """

    def prepare(self, images: Array) -> Array:
        """A view: images of any layout are copied anyway."""
        return images.transpose(0, 2, 3, 1)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
        """The images lie innermost."""
        n, rows, cols, channels = shape
        return np.empty((channels, rows, cols, n), dtype).transpose(3, 1, 2, 0)

    def forward(self, x: Array, w: Array, y: Array) -> None:
        """``y = (A x) w``."""
        kernel = _planes_first(w)
        for rows, planes in self._planes(x, y.shape[1:3]):
            shape = (w.shape[3], rows.stop - rows.start, y.shape[2], len(y))
            product = scratch("product", shape, y.dtype)
            np.matmul(kernel.T, planes, out=product.reshape(w.shape[3], planes.shape[1]))
            y[:, rows] = product.transpose(3, 1, 2, 0)

    def weight_gradient(self, x: Array, dy: Array) -> Array:
        """``dw = (A x)^T dy``."""
        kernel, channels = self.window.kernel, x.shape[3]
        dw = np.zeros((channels * kernel[0] * kernel[1], dy.shape[3]), dy.dtype)
        for rows, planes in self._planes(x, dy.shape[1:3]):
            dw += np.matmul(planes, _images_inside(dy[:, rows]).T, out=scratch("product", dw.shape, dw.dtype))
        return dw.reshape(channels, *kernel, dy.shape[3]).transpose(1, 2, 0, 3)

    def input_gradient(self, dy: Array, w: Array, dx: Array) -> None:
        """``dx = A^T (dy w^T)``."""
        (kh, kw), (sh, sw), (ph, pw) = self.window.kernel, self.window.stride, self.window.padding
        n, height, width, channels = dx.shape
        cols, kernel = dy.shape[2], _planes_first(w)
        sums = scratch("padded", (channels, height + 2 * ph, width + 2 * pw, n), dx.dtype)
        sums[...] = 0
        for rows in _pieces(dy.shape[1], _piece(dy.shape[1], len(kernel) * cols * n * dx.itemsize)):
            planes = scratch("lowered", (channels, kh, kw, rows.stop - rows.start, cols, n), dx.dtype)
            np.matmul(kernel, _images_inside(dy[:, rows]), out=planes.reshape(len(kernel), planes[0, 0, 0].size))
            for i in range(kh):
                at = slice(i + sh * rows.start, i + sh * rows.stop, sh)
                for j in range(kw):
                    sums[:, at, j : j + sw * cols : sw] += planes[:, i, j]
        dx[...] = sums[:, ph : ph + height, pw : pw + width].transpose(3, 1, 2, 0)

    def _planes(self, x: Array, places: tuple[int, ...]) -> Iterator[tuple[slice, Array]]:
        """Yield slices of the results' rows with the lowered planes ``(C * kh * kw, rows * W' * n)``."""
        (sh, sw), (ph, pw) = self.window.stride, self.window.padding
        n, height, width, channels = x.shape
        padded = scratch("padded", (channels, height + 2 * ph, width + 2 * pw, n), x.dtype)
        padded[...] = 0
        padded[:, ph : ph + height, pw : pw + width] = x.transpose(3, 1, 2, 0)
        b = padded.strides
        windows = np.lib.stride_tricks.as_strided(
            padded,
            (channels, *self.window.kernel, *places, n),
            (b[0], b[1], b[2], sh * b[1], sw * b[2], b[3]),
            writeable=False,
        )
        num_planes = channels * self.window.kernel[0] * self.window.kernel[1]
        for rows in _pieces(places[0], _piece(places[0], num_planes * places[1] * n * x.itemsize)):
            some = windows[:, :, :, rows]
            planes = scratch("lowered", some.shape, x.dtype)
            np.copyto(planes, some)
            yield rows, planes.reshape(num_planes, some[0, 0, 0].size)


def _images_inside(dy: Array) -> Array:
    """``(n, rows, W', K)`` as one row a channel, the images of a place beside each other."""
    ordered = dy.transpose(3, 1, 2, 0)
    copy = scratch("gradient", ordered.shape, dy.dtype)
    np.copyto(copy, ordered)
    return copy.reshape(len(copy), math.prod(copy.shape[1:]))


def _planes_first(w: Array) -> Array:
    return np.ascontiguousarray(w.transpose(2, 0, 1, 3)).reshape(-1, w.shape[3])


def _piece(count: int, bytes_of_one: int) -> int:
    """How many of ``count`` items fill a buffer; pieces are of one size, but for the last."""
    pieces = -(-count * bytes_of_one // BUFFER_BYTES)
    return max(1, -(-count // max(1, pieces)))


def _pieces(count: int, step: int) -> Iterator[slice]:
    for start in range(0, count, step):
        yield slice(start, min(count, start + step))
