"""The defects of a published CNN in NumPy (cnn_numpy): each check passes here and rejects the code as published.

The operators below are the published ones, with their loops; docs/reference.md lists the defects.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nin_exp.reference import activations, losses
from nin_exp.reference.containers import Sequential
from nin_exp.reference.conv import Conv2d
from nin_exp.reference.linear import Linear
from nin_exp.reference.module import Layer
from nin_exp.reference.pooling import MaxPool2d


def rejected(message: str) -> pytest.RaisesExc[AssertionError]:
    return pytest.raises(AssertionError, match=message)


class PublishedConv2D:
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, padding: int) -> None:
        self.in_channels, self.out_channels = in_channels, out_channels
        self.ksize, self.stride, self.padding = kernel_size, stride, padding
        self.weights = np.random.default_rng(0).standard_normal((out_channels, in_channels, kernel_size, kernel_size))
        self.bias = np.zeros(out_channels)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x, p = x, self.padding
        x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        b, _, h, w = x.shape
        self.out_shape = (
            b,
            self.out_channels,
            (h - self.ksize) // self.stride + 1,
            (w - self.ksize) // self.stride + 1,
        )
        self.col_img = self.im2col(x, self.ksize, self.stride)
        weights = self.weights.reshape(self.out_channels, -1)
        out = np.dot(weights, self.col_img.T).reshape(self.out_channels, b, -1).transpose(1, 0, 2)
        return np.reshape(out, self.out_shape)

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        b = len(grad_out)
        flat = np.reshape(grad_out.transpose(1, 0, 2, 3), [self.out_channels, -1])
        self.grad_w = np.dot(flat, self.col_img).reshape(self.weights.shape)
        self.grad_b = np.sum(flat, axis=1)
        tmp = self.ksize - self.padding - 1
        padded = np.pad(grad_out, ((0, 0), (0, 0), (tmp, tmp), (tmp, tmp)))
        weights = self.weights.transpose(1, 0, 2, 3).reshape(self.in_channels, -1)
        col_grad = self.im2col(padded, self.ksize, 1)
        next_eta = np.dot(weights, col_grad.T).reshape(self.in_channels, b, -1).transpose(1, 0, 2)
        return np.reshape(next_eta, self.x.shape)

    def im2col(self, x: np.ndarray, k: int, stride: int) -> np.ndarray:
        b, _, h, w = x.shape
        rows, cols = range(0, h - k + 1, stride), range(0, w - k + 1, stride)
        return np.array([x[n, :, i : i + k, j : j + k].reshape(-1) for n in range(b) for i in rows for j in cols])


class PublishedMaxPooling:
    def __init__(self, ksize: int, stride: int) -> None:
        self.ksize, self.stride = ksize, stride

    def forward(self, x: np.ndarray) -> np.ndarray:
        n, c, h, w = x.shape
        out = np.zeros([n, c, h // self.stride, w // self.stride])
        self.index = np.zeros_like(x)
        for b, d, i, j in np.ndindex(*out.shape):
            top, left = i * self.stride, j * self.stride
            window = x[b, d, top : top + self.ksize, left : left + self.ksize]
            out[b, d, i, j] = np.max(window)
            index = np.argmax(window)
            self.index[b, d, top + index // self.ksize, left + index % self.ksize] = 1
        return out

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        return np.repeat(np.repeat(grad_out, self.stride, axis=2), self.stride, axis=3) * self.index


class PublishedRelu:
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.input = x
        return np.maximum(x, 0)

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        grad_out[self.input < 0] = 0
        return grad_out


def published_softmax(x: np.ndarray) -> np.ndarray:
    x -= np.max(x, axis=1, keepdims=True)
    return np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True)


class PublishedCrossEntropy:
    """Its softmax is commented out, so it takes probabilities; no network of its author gives any."""

    def forward(self, pred: np.ndarray, label: np.ndarray) -> float:
        self.p, self.label = pred, label
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(sum(-np.log(pred[i, label[i]]) for i in range(len(label))) / len(label))

    def backward(self) -> np.ndarray:
        grad = self.p.copy()
        grad[np.arange(len(self.label)), self.label] -= 1
        return grad


class PublishedMSE:
    def forward(self, pred: np.ndarray, label: np.ndarray) -> float:
        self.difference = pred - label
        return float(np.mean(np.sum(np.square(self.difference), axis=-1)))

    def backward(self) -> np.ndarray:
        return self.difference


def conv(kernel: int, stride: int, padding: int) -> Conv2d:
    return Conv2d(2, 3, kernel, stride, padding, bias=False, rng=np.random.default_rng(0), dtype=np.float64)


def check_adjoint(layer: Layer | PublishedConv2D, size: int = 6) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 2, size, size))
    y = layer.forward(x)
    dy = rng.standard_normal(y.shape)
    left, right = np.sum(y * dy), np.sum(x * layer.backward(dy))
    assert np.isclose(left, right), f"<A x, y> = {left:.3f} but <x, A^T y> = {right:.3f}"


def test_conv_input_gradient_is_the_adjoint():
    check_adjoint(conv(1, 1, 0))
    check_adjoint(conv(3, 1, 1))
    check_adjoint(PublishedConv2D(2, 3, 1, 1, 0))  # a 1x1 kernel hides the defect
    with rejected("but <x, A"):
        check_adjoint(PublishedConv2D(2, 3, 3, 1, 1))


def test_conv_adds_its_bias():
    def check(layer: Conv2d | PublishedConv2D, bias: np.ndarray) -> None:
        x = np.zeros((1, 2, 4, 4))
        bias += 5
        assert np.all(layer.forward(x) == 5), "a bias of 5 has no effect"

    ours = Conv2d(2, 3, 3, rng=np.random.default_rng(0), dtype=np.float64)
    ours.bias.data[...] = 0
    check(ours, ours.bias.data)
    published = PublishedConv2D(2, 3, 3, 1, 0)
    with rejected("a bias of 5 has no effect"):
        check(published, published.bias)


def test_conv_without_bias_has_none_to_learn():
    assert list(conv(3, 1, 1).named_parameters()) == ["weight"]


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "failure"),
    [(3, 2, 1, "cannot reshape array"), (2, 2, 0, "cannot reshape array"), (3, 1, 3, "can't contain negative values")],
)
def test_conv_gradient_exists_at_any_stride_and_padding(kernel, stride, padding, failure):
    check_adjoint(conv(kernel, stride, padding))
    with pytest.raises(ValueError, match=failure):
        check_adjoint(PublishedConv2D(2, 3, kernel, stride, padding))


def test_initial_weights_do_not_saturate_tanh():
    def check(weights: Callable[[int, int], np.ndarray]) -> None:
        x = np.random.default_rng(0).standard_normal((64, 588))
        for inputs, outputs in ((588, 512), (512, 128)):
            x = np.tanh(x @ weights(inputs, outputs))
        saturated = np.mean(np.abs(x) > 0.99)
        assert saturated < 0.01, f"{saturated:.0%} of the units are saturated"

    check(lambda i, o: Linear(i, o, rng=np.random.default_rng(i), dtype=np.float64).weight.data.T)
    with rejected(r"\d\d% of the units are saturated"):
        check(lambda i, o: np.random.default_rng(i).standard_normal((i, o)))


@pytest.mark.parametrize(
    ("kernel", "stride", "size"),
    [(3, 2, 6), (2, 2, 5), (3, 3, 7), (2, 1, 5)],
)
def test_max_pool_windows_need_not_divide_the_image(kernel, stride, size):
    def check(pool: MaxPool2d | PublishedMaxPooling) -> None:
        x = np.random.default_rng(0).permutation(size * size).reshape(1, 1, size, size).astype(float)
        y = pool.forward(x)
        places = (size - kernel) // stride + 1
        assert y.shape[2:] == (places, places), f"{y.shape[2:]} instead of {places} places"
        dx = pool.backward(np.ones_like(y))
        assert dx.sum() == y.size, "gradients were lost"

    check(MaxPool2d(kernel, stride))
    with pytest.raises((AssertionError, ValueError, IndexError), match=r"instead of|broadcast|out of bounds"):
        check(PublishedMaxPooling(kernel, stride))


def test_relu_leaves_the_gradient_it_is_given():
    def check(relu: activations.ReLU | PublishedRelu) -> None:
        relu.forward(np.array([[-1.0, 2.0]]))
        dy = np.array([[3.0, 4.0]])
        relu.backward(dy)
        assert np.array_equal(dy, [[3, 4]]), "the gradient was edited in place"

    check(activations.ReLU())
    with rejected("edited in place"):
        check(PublishedRelu())


def test_relu_has_gradient_zero_at_zero():
    def check(relu: activations.ReLU | PublishedRelu) -> None:
        relu.forward(np.array([[0.0, -0.0]]))
        assert np.array_equal(relu.backward(np.array([[3.0, 3.0]])), [[0, 0]]), "a gradient at exactly 0"

    check(activations.ReLU())
    with rejected("at exactly 0"):
        check(PublishedRelu())


def test_tanh_and_sigmoid_of_large_values():
    def check(tanh: Callable[[np.ndarray], np.ndarray], sigmoid: Callable[[np.ndarray], np.ndarray]) -> None:
        x = np.array([[-800.0, 800.0]])
        with np.errstate(all="ignore"):
            values = [*tanh(x).ravel(), *sigmoid(x).ravel()]
        assert values == [-1, 1, 0, 1], f"got {values}"

    check(activations.Tanh(), activations.Sigmoid())
    with rejected("nan"):
        check(lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)), lambda x: 1 / (1 + np.exp(-x)))


def test_sigmoid_raises_no_overflow():
    with np.errstate(over="raise", invalid="raise"):
        activations.Sigmoid()(np.array([[-800.0, 800.0]]))
        with pytest.raises(FloatingPointError, match="overflow"):
            _ = 1 / (1 + np.exp(-np.array([[-800.0]])))


def test_softmax_leaves_its_logits():
    def check(softmax: Callable[[np.ndarray], np.ndarray]) -> None:
        x = np.array([[1.0, 2.0]])
        softmax(x)
        assert np.array_equal(x, [[1, 2]]), "the logits were edited in place"

    check(activations.Softmax())
    with rejected("edited in place"):
        check(published_softmax)


def test_cross_entropy_takes_raw_logits():
    def check(loss: losses.CrossEntropy | PublishedCrossEntropy) -> None:
        value = loss.forward(np.array([[-2.0, 3.0], [1.0, -1.0]]), np.array([0, 1]))
        expected = np.mean(np.log1p(np.exp([5.0, 2.0])))
        assert np.isclose(value, expected), f"the loss is {value}"

    check(losses.CrossEntropy())
    with rejected("the loss is nan"):
        check(PublishedCrossEntropy())


def test_a_softmax_is_counted_once_in_the_gradient():
    """The published gradient, p - y, is that of the logits; through a softmax layer it is multiplied again."""

    def check(gradient: np.ndarray) -> None:
        z, step = np.array([[1.0, -1.0, 0.5]]), np.array([[1e-6, -2e-6, 3e-6]])
        value = losses.CrossEntropy()
        slope = value(z + step, np.array([2])) - value(z - step, np.array([2]))
        assert np.isclose(2 * np.sum(gradient * step), slope, rtol=1e-4), "the softmax was counted twice"

    z = np.array([[1.0, -1.0, 0.5]])
    ours = losses.CrossEntropy()
    ours(z, np.array([2]))
    check(ours.backward())
    softmax, published = activations.Softmax(), PublishedCrossEntropy()
    published.forward(softmax(z), np.array([2]))
    with rejected("counted twice"):
        check(softmax.backward(published.backward()))


@pytest.mark.parametrize(
    ("ours", "published", "times"),
    [(losses.CrossEntropy, PublishedCrossEntropy, "4"), (losses.MSE, PublishedMSE, "2")],
)
def test_gradients_match_their_mean(ours, published, times):
    """A gradient N = 4 times the slope (cross-entropy), or without its 2 / N (MSE: N / 2 = 2 times)."""

    def check(loss: losses.Loss | PublishedCrossEntropy | PublishedMSE) -> None:
        rng = np.random.default_rng(0)
        x = rng.dirichlet(np.ones(3), 4)
        step = 1e-7 * rng.standard_normal((4, 3))
        step -= step.mean(axis=1, keepdims=True)
        target = np.arange(4) % 3 if "Cross" in type(loss).__name__ else rng.standard_normal((4, 3))
        loss.forward(x, target)
        gradient = loss.backward()
        if isinstance(loss, PublishedCrossEntropy):  # its gradient is meant for the logits behind x
            step = 1e-7 * rng.standard_normal((4, 3))
            at = [loss.forward(published_softmax(np.log(x) + s * step), target) for s in (1, -1)]
        else:
            at = [loss.forward(x + s * step, target) for s in (1, -1)]
        ratio = 2 * np.sum(gradient * step) / (at[0] - at[1])
        assert abs(ratio - 1) < 1e-3, f"the gradient is {ratio:.0f} times the slope"

    check(ours())
    with rejected(f"the gradient is {times} times the slope"):
        check(published())


def test_two_backward_passes_add_up():
    def check(gradient_after: Callable[[int], np.ndarray]) -> None:
        assert np.allclose(gradient_after(2), 2 * gradient_after(1)), "the second pass cleared the first"

    def ours(passes: int) -> np.ndarray:
        linear = Linear(3, 2, rng=np.random.default_rng(0), dtype=np.float64)
        for _ in range(passes):
            linear(np.ones((4, 3)))
            linear.backward(np.ones((4, 2)))
        return linear.weight.grad

    def published(passes: int) -> np.ndarray:
        layer = PublishedConv2D(2, 3, 1, 1, 0)
        for _ in range(passes):
            layer.forward(np.ones((1, 2, 3, 3)))
            layer.backward(np.ones((1, 3, 3, 3)))  # its module also calls zero_grad inside backward
        return layer.grad_w

    check(ours)
    with rejected("the second pass cleared the first"):
        check(published)


def test_a_layer_that_forgets_backward_breaks_no_chain_in_silence():
    class PublishedLayers:
        def backward(self, grad_out: np.ndarray) -> None:
            """The published base class: a layer that forgets to override this returns None."""

    class Forgotten(Layer):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return x

    assert PublishedLayers().backward(np.ones(1)) is None
    with pytest.raises(TypeError, match="abstract"):
        Sequential(Forgotten())
