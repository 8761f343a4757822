"""The locally connected layer: a convolution with weights of its own at every place.

Source: Gregor and LeCun 2010; Krizhevsky's cuda-convnet, whose "conv-local" layers ended the net for CIFAR-10.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nin_exp.reference.initialisers import torch_default
from nin_exp.reference.layout import Array
from nin_exp.reference.module import Layer, Parameter
from nin_exp.reference.parallel import MAX_SUMS, in_parts


class LocallyConnected2d(Layer):
    """y[n, k, l] = b[l, k] + sum over j of W[l, k, j] x~[n, l, j] for each place l; x~ is the window around it.

    Args:
        in_channels: C.
        size: H and W; the layer fits no other.
        out_channels: K.
        kernel_size: k, odd; (k - 1) / 2 zeros on every side keep the size.
        rng: draws the initial weights: U(-a, a) with a = 1 / sqrt(C k k).
        dtype: of weights, inputs and results.

    Shapes: x ``(N, C, H, W)``; y ``(N, K, H, W)``; weight ``(H W K, C k k, 1)``, bias ``(H W K,)``, as torch's Conv1d
    with a group a place has them. A window's values go channel by channel, then row by row.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        out_channels: int,
        kernel_size: int,
        *,
        rng: np.random.Generator,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}; an even window cannot be centred")
        self.in_shape, self.kernel_size = (in_channels, *size), kernel_size
        units, fan_in = size[0] * size[1] * out_channels, in_channels * kernel_size**2
        self.weight = self.own_parameters["weight"] = Parameter(torch_default((units, fan_in, 1), fan_in, rng, dtype))
        self.bias = self.own_parameters["bias"] = Parameter(torch_default((units,), fan_in, rng, dtype))

    def forward(self, x: Array) -> Array:
        """One small matrix product a place."""
        if x.shape[1:] != self.in_shape:
            raise ValueError(f"LocallyConnected2d must get images of {self.in_shape}, got {x.shape[1:]}")
        windows, weight = self._windows(x), self._weight()
        y = np.empty((len(windows), len(x), weight.shape[1]), x.dtype)

        def respond(places: slice) -> None:
            np.matmul(windows[places], weight[places].transpose(0, 2, 1), out=y[places])

        in_parts(respond, len(y), self._cost(x), MAX_SUMS)
        y += self.bias.data.reshape(len(y), 1, -1)
        self.keep(windows)
        return y.transpose(1, 2, 0).reshape(len(x), -1, *x.shape[2:])

    def backward(self, grad_output: Array) -> Array:
        """``dW[l] = dy[l]^T x~[l]``, db = dy summed over the batch, and dx from ``dx~[l] = dy[l] W[l]``."""
        self.backward_parameters(grad_output)
        (windows,) = self.kept()
        dy, weight = self._by_place(grad_output), self._weight()
        d_windows = np.empty_like(windows)

        def spread(places: slice) -> None:
            np.matmul(dy[places], weight[places], out=d_windows[places])

        in_parts(spread, len(dy), self._cost(grad_output), MAX_SUMS)
        return self._from_windows(d_windows)

    def backward_parameters(self, grad_output: Array) -> None:
        """The gradients of weight and bias alone."""
        (windows,) = self.kept()
        dy = self._by_place(grad_output)
        dw = np.empty_like(self._weight())

        def learn(places: slice) -> None:
            np.matmul(dy[places].transpose(0, 2, 1), windows[places], out=dw[places])

        in_parts(learn, len(dy), self._cost(grad_output), MAX_SUMS)
        self.weight.accumulate(dw.reshape(self.weight.data.shape))
        self.bias.accumulate(dy.sum(axis=1).reshape(-1))

    def _weight(self) -> Array:
        """The weights as ``(H W, K, C k k)``."""
        _, height, width = self.in_shape
        return self.weight.data.reshape(height * width, -1, self.weight.data.shape[1])

    def _windows(self, x: Array) -> Array:
        """The window around each place, as ``(H W, N, C k k)``."""
        margin = self.kernel_size // 2
        padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (self.kernel_size, self.kernel_size), axis=(2, 3))
        _, height, width = self.in_shape
        return windows.transpose(2, 3, 0, 1, 4, 5).reshape(height * width, len(x), -1)

    def _from_windows(self, d_windows: Array) -> Array:
        """The adjoint of ``_windows``: add every value back to where it was copied from."""
        (channels, height, width), k = self.in_shape, self.kernel_size
        n, margin = d_windows.shape[1], k // 2
        gradients = d_windows.reshape(height, width, n, channels, k, k).transpose(2, 3, 0, 1, 4, 5)
        padded = np.zeros((n, channels, height + 2 * margin, width + 2 * margin), d_windows.dtype)
        for u in range(k):
            for v in range(k):
                padded[:, :, u : u + height, v : v + width] += gradients[..., u, v]
        return padded[:, :, margin : margin + height, margin : margin + width]

    def _by_place(self, grad_output: Array) -> Array:
        """``(N, K, H, W)`` as ``(H W, N, K)``."""
        n, channels = grad_output.shape[:2]
        return np.ascontiguousarray(grad_output.reshape(n, channels, -1).transpose(2, 0, 1))

    def _cost(self, batch: Array) -> int:
        """Multiply-adds that one place takes; a product does sixteen in the time of one value copied."""
        weight = self.weight.data
        return len(batch) * weight.size // (16 * self.in_shape[1] * self.in_shape[2])
