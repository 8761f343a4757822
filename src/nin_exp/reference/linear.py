"""The fully connected layer, and the layers that flatten maps for it and make maps of its units."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nin_exp.reference.initialisers import torch_default
from nin_exp.reference.layout import Array
from nin_exp.reference.module import Layer, Parameter, check_input
from nin_exp.reference.parallel import MAX_SUMS, in_parts


class Linear(Layer):
    """y = x W^T + b.

    Args:
        in_features: C.
        out_features: K.
        bias: whether b is added (and learnt).
        rng: draws the initial weights, as torch: U(-a, a) with a = 1 / sqrt(C).
        dtype: of weights, inputs and results.

    Shapes: x ``(N, C)``; y ``(N, K)``; weight ``(K, C)``. Source: Rumelhart, Hinton and Williams 1986, eq. 1.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        weight = torch_default((out_features, in_features), in_features, rng, dtype)
        self.weight = self.own_parameters["weight"] = Parameter(weight)
        self.bias: Parameter | None = None
        if bias:
            self.bias = self.own_parameters["bias"] = Parameter(torch_default((out_features,), in_features, rng, dtype))

    def forward(self, x: Array) -> Array:
        """``(N, C)`` to ``(N, K)``."""
        weight = self.weight.data
        check_input(self, x, 2, weight.shape[1])
        y = np.empty((len(x), len(weight)), x.dtype)

        def respond(units: slice) -> None:
            np.matmul(x, weight[units].T, out=y[:, units])

        in_parts(respond, len(weight), _cost(x), MAX_SUMS)
        if self.bias is not None:
            y += self.bias.data
        self.keep(x)
        return y

    def backward(self, grad_output: Array) -> Array:
        """``dW = dy^T x``, db = the sum of dy over the batch, ``dx = dy W``."""
        self.backward_parameters(grad_output)
        weight = self.weight.data
        dx = np.empty((len(grad_output), weight.shape[1]), weight.dtype)

        def spread(inputs: slice) -> None:
            np.matmul(grad_output, weight[:, inputs], out=dx[:, inputs])

        in_parts(spread, weight.shape[1], _cost(grad_output), MAX_SUMS)
        return dx

    def backward_parameters(self, grad_output: Array) -> None:
        """The gradients of weight and bias alone."""
        (x,) = self.kept()
        dw = np.empty_like(self.weight.data)

        def learn(units: slice) -> None:
            np.matmul(grad_output[:, units].T, x, out=dw[units])

        in_parts(learn, len(dw), _cost(x), MAX_SUMS)
        self.weight.accumulate(dw)
        if self.bias is not None:
            self.bias.accumulate(grad_output.sum(axis=0))


def _cost(x: Array) -> int:
    """Multiply-adds that one unit takes with ``x``; a product does sixteen in the time of one value copied."""
    return x.size // 16


class Flatten(Layer):
    """Each image's values in one row: y[n, (c H + i) W + j] = x[n, c, i, j]; ``(N, C, H, W)`` to ``(N, C H W)``."""

    def forward(self, x: Array) -> Array:
        """Reorder nothing but the axes."""
        self.keep(x.shape)
        return x.reshape(len(x), -1)

    def backward(self, grad_output: Array) -> Array:
        """The same values in the input's shape."""
        (shape,) = self.kept()
        return grad_output.reshape(shape)


class Unflatten(Layer):
    """Units as maps of one place: y[n, c, 0, 0] = x[n, c]; ``(N, C)`` to ``(N, C, 1, 1)``."""

    def forward(self, x: Array) -> Array:
        """Add the two axes."""
        self.keep()
        return x[:, :, np.newaxis, np.newaxis]

    def backward(self, grad_output: Array) -> Array:
        """Take them away."""
        self.kept()
        return grad_output[:, :, 0, 0]
