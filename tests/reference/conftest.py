"""Checks that the tests of the NumPy engine share. torch in float64 is the independent source."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from nin_exp.reference.module import Layer

Check = Callable[..., None]


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a - b), initial=0) / max(1e-30, np.max(np.abs(b), initial=0)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20140414)


@pytest.fixture(scope="session")
def same_as_torch() -> Check:
    """Forward, input gradient and parameter gradients agree, and nothing given was changed."""

    def check(layer: Layer, module: torch.nn.Module, x: np.ndarray, seed: int = 0, tolerance: float = 1e-11) -> None:
        layer.cast(x.dtype)
        module.to(torch.from_numpy(x).dtype)
        given = {name: value.numpy() for name, value in module.state_dict().items()}
        layer.load_state_dict(given)
        assert layer.state_dict().keys() == given.keys()
        x_torch = torch.from_numpy(x.copy()).requires_grad_()
        expected = module(x_torch)
        dy = np.random.default_rng(seed).standard_normal(expected.shape).astype(x.dtype)
        expected.backward(torch.from_numpy(dy))
        x_before, dy_before = x.copy(), dy.copy()

        y = layer(x)
        dx = layer.backward(dy)

        np.testing.assert_array_equal(x, x_before, err_msg="the input was changed")
        np.testing.assert_array_equal(dy, dy_before, err_msg="the output's gradient was changed")
        assert y.shape == tuple(expected.shape)
        assert (y.dtype, dx.dtype) == (x.dtype, x.dtype)
        assert relative_error(y, expected.detach().numpy()) < tolerance
        assert x_torch.grad is not None
        assert relative_error(dx, x_torch.grad.numpy()) < tolerance
        gradients = {name: p.grad for name, p in layer.named_parameters().items()}
        assert gradients.keys() == dict(module.named_parameters()).keys()
        for name, parameter in module.named_parameters():
            assert gradients[name].dtype == x.dtype
            assert relative_error(gradients[name], parameter.grad.numpy()) < tolerance, name
        for name, value in module.state_dict().items():  # running statistics have moved alike
            assert relative_error(layer.state_dict()[name], value.numpy()) < tolerance, name

    return check


@pytest.fixture(scope="session")
def central_differences() -> Check:
    """Slopes along random directions of x and of every parameter agree with the gradients, in float64."""

    def check(layer: Layer, x: np.ndarray, seed: int = 0, step: float = 1e-6, tolerance: float = 1e-6) -> None:
        rng = np.random.default_rng(seed)
        layer.zero_grad()
        dy = rng.standard_normal(layer(x).shape)
        dx = layer.backward(dy)

        def slope(array: np.ndarray, direction: np.ndarray) -> float:
            before = array.copy()
            values = []
            for sign in (1, -1):
                array[...] = before + sign * step * direction
                values.append(float(np.sum(layer(x) * dy)))
            array[...] = before
            return (values[0] - values[1]) / (2 * step)

        pairs = [(x, dx), *[(p.data, p.grad) for p in layer.parameters()]]
        for array, gradient in pairs:
            direction = rng.standard_normal(array.shape)
            expected = slope(array, direction)
            assert abs(np.sum(gradient * direction) - expected) < tolerance * max(1, abs(expected))

    return check


@pytest.fixture(scope="session")
def adjoint() -> Check:
    """The backward pass of a linear layer is its adjoint: <A x, y> = <x, A^T y>."""

    def check(layer: Layer, shape: tuple[int, ...], seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(shape)
        ax = layer(x)
        y = rng.standard_normal(ax.shape)
        left, right = float(np.sum(ax * y)), float(np.sum(x * layer.backward(y)))
        assert left == pytest.approx(right, rel=1e-11, abs=1e-11)
        other = rng.standard_normal(shape)
        np.testing.assert_allclose(layer(x + 2 * other), layer(x) + 2 * layer(other), atol=1e-10)  # it is linear

    return check
