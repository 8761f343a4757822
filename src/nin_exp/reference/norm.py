"""Normalisation over the batch, and across channels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nin_exp.reference.activations import elementwise
from nin_exp.reference.layout import Array, channels_first, channels_last, values_per_image
from nin_exp.reference.module import Layer, Parameter, check_input
from nin_exp.reference.parallel import in_parts


class BatchNorm2d(Layer):
    """y = gamma (x - mu) / sqrt(sigma^2 + eps) + beta for each channel.

    In training mu and sigma^2 are those of the batch (sigma^2 divided by its M = N H W values), and the
    running ones move towards them: r <- (1 - momentum) r + momentum s, where s is the batch's mean or its unbiased
    variance (divided by M - 1), as in torch. In evaluation the running ones are used.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: the weight of the newest batch, from 0 to 1; None for the mean over all batches.
        dtype: of weights, inputs and results.

    Shapes: ``(N, C, H, W)`` to the same. Source: Ioffe and Szegedy 2015, algorithms 1 and 2.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        *,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.gamma = self.own_parameters["weight"] = Parameter(np.ones(num_features, dtype))
        self.beta = self.own_parameters["bias"] = Parameter(np.zeros(num_features, dtype))
        self.own_buffers["running_mean"] = np.zeros(num_features, dtype)
        self.own_buffers["running_var"] = np.ones(num_features, dtype)
        self.own_buffers["num_batches_tracked"] = np.array(0, np.int64)

    def forward(self, x: Array) -> Array:
        """Normalise, scale and shift."""
        check_input(self, x, 4, len(self.gamma.data))
        images = channels_last(x)
        if self.training:
            mu, var = _mean_and_variance(images)
            self._track(mu, var, images.size // images.shape[3])
        else:
            mu, var = self.own_buffers["running_mean"], self.own_buffers["running_var"]
        inv_std = 1 / np.sqrt(var + x.dtype.type(self.eps))
        x_hat, y = np.empty_like(images), np.empty_like(images)

        def normalise(part: slice) -> None:
            np.subtract(images[part], mu, out=x_hat[part])
            x_hat[part] *= inv_std
            np.multiply(x_hat[part], self.gamma.data, out=y[part])
            y[part] += self.beta.data

        in_parts(normalise, len(x), values_per_image(images))
        self.keep(x_hat, inv_std, self.training)
        return channels_first(y)

    def backward(self, grad_output: Array) -> Array:
        """Through the batch's mean and variance, which depend on every x.

        With x^ the normalised x: dx = gamma / sigma (dy - mean(dy) - x^ mean(dy x^)), dgamma = sum of dy x^, dbeta =
        sum of dy. In evaluation mu and sigma are constants, and dx = gamma / sigma dy.
        """
        x_hat, inv_std, batch_statistics = self.kept()
        dy = channels_last(grad_output)
        d_beta = _channel_sum(lambda part: dy[part], dy)
        d_gamma = _channel_sum(lambda part: dy[part] * x_hat[part], dy)
        self.gamma.accumulate(d_gamma)
        self.beta.accumulate(d_beta)
        scale = self.gamma.data * inv_std
        count = dy.dtype.type(dy.size // dy.shape[3])
        mean_dy, mean_dy_x_hat = d_beta / count, d_gamma / count
        dx = np.empty_like(dy)

        def gradient(part: slice) -> None:
            if batch_statistics:
                np.multiply(x_hat[part], -mean_dy_x_hat, out=dx[part])
                dx[part] += dy[part]
                dx[part] -= mean_dy
                dx[part] *= scale
            else:
                np.multiply(dy[part], scale, out=dx[part])

        in_parts(gradient, len(dy), values_per_image(dy))
        return channels_first(dx)

    def _track(self, mu: Array, var: Array, count: int) -> None:
        if count < 2:
            raise ValueError("BatchNorm2d must get more than 1 value a channel in training, got 1; use a larger batch")
        buffers = self.own_buffers
        buffers["num_batches_tracked"] += 1
        weight = 1 / int(buffers["num_batches_tracked"]) if self.momentum is None else self.momentum
        for name, value in (("running_mean", mu), ("running_var", var * (count / (count - 1)))):
            buffers[name] *= 1 - weight
            buffers[name] += weight * value


def _channel_sum(values: Callable[[slice], Array], like: Array) -> Array:
    """Sum ``(N, H, W, C)`` over all but the channels.

    Image by image first: one sum over all places would lose digits in float32.
    """

    def add(part: slice) -> Array:
        total: Array = values(part).sum(axis=(1, 2)).sum(axis=0)
        return total

    parts = in_parts(add, len(like), values_per_image(like))
    return np.sum(parts, axis=0, dtype=like.dtype)


def _mean_and_variance(x: Array) -> tuple[Array, Array]:
    count = x.dtype.type(x.size // x.shape[3])
    mu = _channel_sum(lambda part: x[part], x) / count
    return mu, _channel_sum(lambda part: np.square(x[part] - mu), x) / count


class LocalResponseNorm(Layer):
    """b_c = a_c / (k + alpha / n * sum of a_j^2 over the n channels around c)^beta.

    The sum runs over c - n // 2 to c + (n - 1) // 2, cut at the first and last channel. alpha is divided by
    n, as in torch and Caffe; the paper's own alpha is not.

    Args:
        size: n.
        alpha: the weight of the sum.
        beta: the power.
        k: the constant.

    Shapes: ``(N, C, H, W)`` to the same. Source: Krizhevsky et al. 2012, section 3.3 (n 5, alpha 1e-4, beta
    0.75, k 2).
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Array) -> Array:
        """Divide each value by its neighbourhood's response."""
        scale = np.empty_like(x)
        in_parts(lambda part: self._denominator(x[part], scale[part]), len(x), values_per_image(x))
        power = elementwise(lambda part, out: np.power(scale[part], -self.beta, out=out), x)
        self.keep(x, scale, power)
        return elementwise(lambda part, out: np.multiply(x[part], power[part], out=out), x)

    def backward(self, grad_output: Array) -> Array:
        """da_c = db_c s_c^-beta - 2 alpha beta / n * a_c * sum over j of db_j b_j / s_j.

        s is the denominator before the power; j runs over the channels whose sum holds a_c, so the
        neighbourhood is mirrored.
        """
        x, scale, power = self.kept()
        below, above = self.size // 2, (self.size - 1) // 2

        dx: Array = np.empty_like(x)

        def gradient(part: slice) -> None:
            dy, a, b_power, out = grad_output[part], x[part], power[part], dx[part]
            _sum_of_neighbours(dy * a * b_power / scale[part], above, below, out)
            out *= a
            out *= -2 * self.alpha * self.beta / self.size
            out += dy * b_power

        in_parts(gradient, len(x), values_per_image(x))
        return dx

    def _denominator(self, x: Array, out: Array) -> None:
        _sum_of_neighbours(x * x, self.size // 2, (self.size - 1) // 2, out)
        out *= self.alpha / self.size
        out += self.k


def _sum_of_neighbours(x: Array, below: int, above: int, total: Array) -> None:
    """Write for each channel c the sum over channels c - below to c + above."""
    total[...] = x
    channels = x.shape[1]
    for shift in range(1, min(below, channels - 1) + 1):
        total[:, shift:] += x[:, :-shift]
    for shift in range(1, min(above, channels - 1) + 1):
        total[:, :-shift] += x[:, shift:]
