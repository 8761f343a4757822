"""Functions of one value each, and softmax.

At a kink the derivative is the one that torch takes: ReLU has 0 at 0. Sources: LeCun, Bottou, Orr and Müller 1998
("Efficient BackProp"), section 4.4 (sigmoid and tanh); Bridle 1990 (softmax).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nin_exp.reference.layout import Array
from nin_exp.reference.module import Layer
from nin_exp.reference.parallel import in_parts

Part = tuple[slice, ...]


def elementwise(write: Callable[[Part, Array], object], like: Array) -> Array:
    """Return an array shaped and laid out as ``like``, which ``write(part, out)`` fills part by part, in threads.

    A part is an index: a slice of the axis that is outermost in memory, so that parts are contiguous.
    """
    result: Array = np.empty_like(like)
    axis = max(range(like.ndim), key=lambda axis: like.strides[axis])

    def fill(outer: slice) -> None:
        part = (slice(None),) * axis + (outer,)
        write(part, result[part])

    in_parts(fill, like.shape[axis], like.size // max(1, like.shape[axis]))
    return result


class ReLU(Layer):
    """y = max(x, 0): f in NiN's eq. 1 and 2 (Nair and Hinton 2010). Any shape."""

    def forward(self, x: Array) -> Array:
        """``y = max(x, 0)``."""
        y = elementwise(lambda part, out: np.maximum(x[part], 0, out=out), x)
        self.keep(y)
        return y

    def backward(self, grad_output: Array) -> Array:
        """``dx = dy`` where y > 0, else 0."""
        (y,) = self.kept()
        # a product with a mask, not np.where: a branch a value is ten times slower on random signs
        return elementwise(lambda part, out: np.multiply(grad_output[part], y[part] > 0, out=out), y)


class Sigmoid(Layer):
    """y = 1 / (1 + e^-x). Any shape."""

    def forward(self, x: Array) -> Array:
        """min(e^x, 1) / (1 + e^-|x|): the same value, and no power of e above 1 that could overflow."""

        def sigmoid(part: Part, out: Array) -> None:
            np.divide(np.exp(np.minimum(x[part], 0)), 1 + np.exp(-np.abs(x[part])), out=out)

        y = elementwise(sigmoid, x)
        self.keep(y)
        return y

    def backward(self, grad_output: Array) -> Array:
        """``dx = dy y (1 - y)``."""
        (y,) = self.kept()
        return elementwise(lambda part, out: np.multiply(grad_output[part] * y[part], 1 - y[part], out=out), y)


class Tanh(Layer):
    """y = tanh x. Any shape."""

    def forward(self, x: Array) -> Array:
        """``y = tanh x``."""
        y = elementwise(lambda part, out: np.tanh(x[part], out=out), x)
        self.keep(y)
        return y

    def backward(self, grad_output: Array) -> Array:
        """``dx = dy (1 - y^2)``."""
        (y,) = self.kept()
        return elementwise(lambda part, out: np.multiply(grad_output[part], 1 - y[part] * y[part], out=out), y)


class Softmax(Layer):
    """y_k = e^x_k / sum over j of e^x_j, along one axis (1: classes, or channels). Any shape.

    For a loss use ``losses.CrossEntropy`` on the logits, which is exact where a probability rounds to 0.
    """

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Array) -> Array:
        """With the maximum subtracted, which changes nothing but the range of e^x."""
        y: Array = np.exp(x - x.max(axis=self.axis, keepdims=True))
        y /= y.sum(axis=self.axis, keepdims=True)
        self.keep(y)
        return y

    def backward(self, grad_output: Array) -> Array:
        """``dx_k = y_k (dy_k - sum over j of dy_j y_j)``."""
        (y,) = self.kept()
        dx: Array = y * (grad_output - (grad_output * y).sum(axis=self.axis, keepdims=True))
        return dx


class LogSoftmax(Layer):
    """y_k = x_k - log(sum over j of e^x_j), along one axis. Any shape."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Array) -> Array:
        """The logarithm of softmax, exact also where a probability rounds to 0."""
        y = log_softmax(x, self.axis)
        self.keep(y)
        return y

    def backward(self, grad_output: Array) -> Array:
        """``dx_k = dy_k - e^y_k`` times the sum over j of dy_j."""
        (y,) = self.kept()
        dx: Array = grad_output - np.exp(y) * grad_output.sum(axis=self.axis, keepdims=True)
        return dx


def log_softmax(x: Array, axis: int) -> Array:
    """x_k - log(sum over j of e^x_j), with the maximum subtracted first.

    >>> log_softmax(np.array([[1000.0, 0.0]]), axis=1)
    array([[    0., -1000.]])
    """
    shifted: Array = x - x.max(axis=axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return shifted
