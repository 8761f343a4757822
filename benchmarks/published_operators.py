"""Layers as the two published NumPy implementations compute them, for their time alone; float64, as published.

Written anew after their methods, without their defects, so that losses can be compared. The "numpy NIN" (zjZSTU/PyNet)
gathers the windows of a whole batch by arrays of indices into one matrix, and adds gradients back by ``np.add.at``,
also where nothing overlaps (1x1 layers, 2x2 pools). "cnn_numpy" copies windows in Python's loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def window_indices(channels: int, size: tuple[int, int], kernel: int, stride: int) -> tuple[Array, Array, Array]:
    """Channel, row and column of every value of every window, each ``(places, C k k)`` when broadcast."""
    rows, columns = ((side - kernel) // stride + 1 for side in size)
    row = stride * np.repeat(np.arange(rows), columns)[:, None] + np.tile(
        np.repeat(np.arange(kernel), kernel), channels
    )
    column = stride * np.tile(np.arange(columns), rows)[:, None] + np.tile(np.arange(kernel), kernel * channels)
    return np.repeat(np.arange(channels), kernel * kernel)[None], row, column


class Conv:
    """A convolution with stride 1 as one product of the gathered matrix; weight ``(K, C, k, k)``."""

    def __init__(self, weight: Array, bias: Array, padding: int) -> None:
        self.weight, self.bias, self.padding = weight, bias, padding
        self.gradients: list[Array] = []

    def forward(self, x: Array) -> Array:
        """``(N, C, H, W)`` to ``(N, K, H', W')``."""
        p, (units, channels, kernel, _) = self.padding, self.weight.shape
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        self.shape = padded.shape
        self.indices = window_indices(channels, (padded.shape[2], padded.shape[3]), kernel, 1)
        gathered = padded[:, self.indices[0], self.indices[1], self.indices[2]]
        self.rows = gathered.reshape(-1, channels * kernel * kernel)
        y = self.rows @ self.weight.reshape(units, -1).T + self.bias
        side = padded.shape[2] - kernel + 1
        return y.reshape(len(x), side, -1, units).transpose(0, 3, 1, 2)

    def backward(self, dy: Array) -> Array:
        """Gradients of weight and bias kept; the input's returned."""
        units = len(self.weight)
        flat = dy.transpose(0, 2, 3, 1).reshape(-1, units)
        self.gradients = [(flat.T @ self.rows).reshape(self.weight.shape), flat.sum(axis=0)]
        d_rows = (flat @ self.weight.reshape(units, -1)).reshape(len(dy), -1, self.rows.shape[1])
        dx = np.zeros(self.shape, dy.dtype)
        np.add.at(dx, (slice(None), *self.indices), d_rows)
        p = self.padding
        return dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]

    def step(self, lr: float) -> None:
        """Plain SGD."""
        for values, gradient in zip((self.weight, self.bias), self.gradients, strict=True):
            values -= lr * gradient


class Pool:
    """2x2 maximum by gathered rows."""

    def forward(self, x: Array) -> Array:
        """``(N, C, H, W)`` to ``(N, C, H / 2, W / 2)``."""
        self.shape = n, channels, height, width = x.shape
        _, row, column = window_indices(1, (height, width), 2, 2)
        channel = np.repeat(np.arange(channels), len(row))[:, None]
        self.indices = channel, np.tile(row, (channels, 1)), np.tile(column, (channels, 1))
        rows = x.copy()[:, self.indices[0], self.indices[1], self.indices[2]].reshape(-1, 4)
        self.winner = rows.argmax(axis=1)
        return rows.max(axis=1).reshape(n, channels, height // 2, width // 2)

    def backward(self, dy: Array) -> Array:
        """The gradient at each maximum."""
        rows = np.zeros((dy.size, 4), dy.dtype)
        rows[np.arange(dy.size), self.winner] = dy.reshape(-1)
        dx = np.zeros(self.shape, dy.dtype)
        np.add.at(dx, (slice(None), *self.indices), rows.reshape(len(dy), -1, 4))
        return dx


class ReLU:
    """A maximum; its gradient by a mask of places."""

    def forward(self, x: Array) -> Array:
        """max(x, 0)."""
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy: Array) -> Array:
        """The gradient where x was above 0."""
        dx = dy.copy()
        dx[self.x <= 0] = 0
        return dx


class LoopConv(Conv):
    """The same by a loop over images and places; the input's gradient is a convolution with turned kernels."""

    def forward(self, x: Array) -> Array:
        """``(N, C, H, W)`` to ``(N, K, H', W')``."""
        self.rows = self._rows(x, self.padding)
        y = self.weight.reshape(len(self.weight), -1) @ self.rows.T
        side = x.shape[2] + 2 * self.padding - self.weight.shape[2] + 1
        return (y + self.bias[:, None]).reshape(len(self.weight), len(x), side, side).transpose(1, 0, 2, 3)

    def backward(self, dy: Array) -> Array:
        """Gradients of weight and bias kept; the input's returned."""
        units, channels, kernel, _ = self.weight.shape
        flat = dy.transpose(1, 0, 2, 3).reshape(units, -1)
        self.gradients = [(flat @ self.rows).reshape(self.weight.shape), flat.sum(axis=1)]
        turned = np.flip(self.weight, (2, 3)).swapaxes(0, 1).reshape(channels, -1)
        dx = turned @ self._rows(dy, kernel - self.padding - 1).T
        side = dy.shape[2] - 2 * self.padding + kernel - 1
        return dx.reshape(channels, len(dy), side, side).transpose(1, 0, 2, 3)

    def _rows(self, x: Array, p: int) -> Array:
        kernel, padded = self.weight.shape[2], np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        places = range(padded.shape[2] - kernel + 1)
        windows = [
            image[:, i : i + kernel, j : j + kernel].reshape(-1) for image in padded for i in places for j in places
        ]
        return np.array(windows)


class LoopPool:
    """2x2 maximum by a loop over windows."""

    def forward(self, x: Array) -> Array:
        """``(N, C, H, W)`` to ``(N, C, H / 2, W / 2)``."""
        n, channels, height, width = x.shape
        y, self.winner = np.zeros((n, channels, height // 2, width // 2)), np.zeros_like(x)
        for image, channel, i, j in np.ndindex(*y.shape):
            window = x[image, channel, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            y[image, channel, i, j] = np.max(window)
            index = np.argmax(window)
            self.winner[image, channel, 2 * i + index // 2, 2 * j + index % 2] = 1
        return y

    def backward(self, dy: Array) -> Array:
        """The gradient at each maximum."""
        return np.repeat(np.repeat(dy, 2, axis=2), 2, axis=3) * self.winner


class Tanh:
    """tanh, by its library function instead of powers of e that overflow."""

    def forward(self, x: Array) -> Array:
        """The function, value by value."""
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy: Array) -> Array:
        """Its slope is 1 - y^2."""
        return dy * (1 - self.y**2)


class Dense(Conv):
    """A linear layer that flattens its input."""

    def forward(self, x: Array) -> Array:
        """``(N, ...)`` to ``(N, K)``."""
        self.shape, self.rows = x.shape, x.reshape(len(x), -1)
        return self.rows @ self.weight.T + self.bias

    def backward(self, dy: Array) -> Array:
        """Gradients of weight and bias kept; the input's returned."""
        self.gradients = [dy.T @ self.rows, dy.sum(axis=0)]
        return (dy @ self.weight).reshape(self.shape)


class GlobalAverage:
    """The mean of each map."""

    def forward(self, x: Array) -> Array:
        """``(N, K, H, W)`` to ``(N, K)``."""
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, dy: Array) -> Array:
        """An equal share for each place."""
        _, _, height, width = self.shape
        return np.repeat(dy / (height * width), height * width, axis=1).reshape(self.shape)


class PublishedNet:
    """Layers in a row; cross-entropy and SGD."""

    def __init__(self, layers: Sequence[Any], lr: float) -> None:
        self.layers, self.lr = list(layers), lr

    def step(self, images: Array, labels: npt.NDArray[np.int64]) -> float:
        """One training step; returns the loss."""
        x = images
        for layer in self.layers:
            x = layer.forward(x)
        n = len(x)
        exponentials = np.exp(x - x.max(axis=1, keepdims=True))
        p = exponentials / exponentials.sum(axis=1, keepdims=True)
        loss = float(-np.log(p[np.arange(n), labels]).mean())
        p[np.arange(n), labels] -= 1
        dy = p / n
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        for layer in self.layers:
            if isinstance(layer, Conv):
                layer.step(self.lr)
        return loss
