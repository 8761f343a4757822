"""A training step of the two published NumPy implementations, computed by their own code from a checkout.

The "numpy NIN" is zjZSTU/PyNet at 5b98abf, "cnn_numpy" is junqiangwu/cnn_numpy at df51dc6. None of their code stands
here. What is wrong in it and would change the loss is put right from outside, so that losses can be compared before
times count; each correction costs next to nothing beside the operator that it wraps, and everything else runs as it was
published, in float64.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Step = Callable[[], float]


def numpy_nin(folder: Path, state: Mapping[str, Array], images: Array, labels: Array, lr: float) -> Step:
    """Steps of PyNet's NIN: 5x5, 1x1, 1x1 twice with 2x2 pools, then 3x3, 1x1, 1x1 and the maps' means.

    Args:
        folder: the checkout.
        state: weights and biases of the nine convolutions, in order, in torch's shapes.
    """
    nn, models = _modules(folder, "nn", "models.NIN")
    net, criterion = models.nin(in_channels=images.shape[1]), nn.CrossEntropyLoss()
    names = ["conv1", "mlp1", "mlp2", "conv2", "mlp2_1", "mlp2_2", "conv3", "mlp3_1", "mlp3_2"]
    values = iter(state.values())
    for name in names:
        layer, weight, bias = getattr(net, name), next(values), next(values)
        layer.set_params({"W": np.ascontiguousarray(weight.reshape(len(weight), -1).T), "b": bias.reshape(1, -1)})
        layer.backward = _whole_bias_gradient(layer)
    net.relu9 = _Identity()  # the class maps of the other engines have no ReLU
    net.gap.backward = _scaled(net.gap.backward, lambda: 1 / np.prod(net.gap.input_shape[2:]))

    def step() -> float:
        loss = criterion(net(images), labels)
        net.backward(criterion.backward() / len(images))  # published: the gradient of the sum
        net.update(lr=lr, reg=0)
        return float(loss)

    return step


def cnn_numpy(folder: Path, state: Mapping[str, Array], images: Array, labels: Array, lr: float) -> Step:
    """Steps of cnn_numpy's conv + fc example.

    Args:
        folder: the checkout.
        state: weights and biases of two convolutions and three dense layers, in order, in torch's shapes.
    """
    conv, fc, pooling, activate, module, loss = _modules(folder, "conv", "fc", "pooling", "activate", "module", "loss")
    net, values = module.Module(), list(state.values())
    for number, (weight, bias) in enumerate(zip(values[::2], values[1::2], strict=True)):
        if weight.ndim == 4:
            layer = conv.Conv2D(f"conv{number}", weight.shape[1], len(weight), weight.shape[2], 1, 1)
            layer.weights, layer.bias = weight.copy(), bias.copy()
            layer.forward, layer.backward = _with_bias(layer), _with_turned_kernels(layer)
            net.layers += [layer, pooling.MaxPooling(f"pool{number}"), activate.Tanh(f"tanh{number}")]
        else:
            layer = fc.FC(f"full{number}", weight.shape[1], len(weight))
            layer.weights, layer.bias = np.ascontiguousarray(weight.T), bias.copy()
            net.layers += [layer, activate.Tanh(f"tanh{number}")]
    net.layers.pop()
    criterion = loss.CrossEntropyLoss()

    def step() -> float:
        value, gradient = criterion(loss.Softmax(net.forward(images)), labels)
        net.backward(gradient / len(images))  # published: the gradient of the sum
        net.step(lr)
        return float(value)

    return step


def _modules(folder: Path, *names: str) -> list[Any]:
    if not folder.is_dir():
        raise SystemExit(f"--published must be a checkout of the published code, got '{folder}'")
    sys.path.insert(0, str(folder))
    try:
        return [importlib.import_module(name) for name in names]
    except ModuleNotFoundError as error:
        raise SystemExit(f"--published must hold {', '.join(names)}: {error}") from error


def _whole_bias_gradient(layer: Any) -> Callable[[Array], Array]:
    backward = layer.backward

    def wrapped(grad_out: Array) -> Array:
        dx: Array = backward(grad_out)
        layer.b["grad"] *= grad_out.size // grad_out.shape[1]  # published: divided by the number of rows
        return dx

    return wrapped


def _scaled(backward: Callable[[Array], Array], factor: Callable[[], float]) -> Callable[[Array], Array]:
    return lambda grad_out: backward(grad_out * factor())


def _with_bias(layer: Any) -> Callable[[Array], Array]:
    forward = layer.forward
    return lambda x: forward(x) + layer.bias[:, np.newaxis, np.newaxis]  # published: never added


def _with_turned_kernels(layer: Any) -> Callable[[Array], Array]:
    backward = layer.backward

    def wrapped(grad_out: Array) -> Array:
        kernels = layer.weights
        layer.weights = np.flip(kernels, (2, 3))  # published: turned, and then not used
        dx: Array = backward(grad_out)
        layer.weights = kernels
        return dx

    return wrapped


class _Identity:
    """In the place of a layer that is left out."""

    def __call__(self, x: Array) -> Array:
        return x

    def backward(self, dy: Array) -> Array:
        """The same gradient."""
        return dy
