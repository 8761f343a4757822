"""What a layer is: a forward pass, its backward pass, parameters, and a state that can be saved.

The contract:

* ``forward`` keeps what ``backward`` needs and never changes its input.
* ``backward`` takes the gradient of the loss L with respect to the output, returns the one with respect to
  the input, and *adds* the ones with respect to the parameters to ``Parameter.grad``. It changes no argument,
  and may be called again. ``zero_grad`` clears.
* Results have the dtype of the weights; a layer without weights keeps the dtype of its input.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.reference.layout import Array

StateDict = dict[str, Array]


class Parameter:
    """A weight that is learnt.

    Attributes:
        data: the values.
        grad: the gradient accumulated since it was last cleared, or None.
    """

    def __init__(self, data: Array) -> None:
        self.data = data
        self.grad: Array | None = None

    def accumulate(self, gradient: Array) -> None:
        """Add a gradient of the same shape."""
        assert gradient.shape == self.data.shape, (gradient.shape, self.data.shape)
        if self.grad is None:
            self.grad = np.array(gradient, dtype=self.data.dtype, order="C")
        else:
            self.grad += gradient


class Layer(ABC):
    """A differentiable function with parameters. ``training`` tells dropout and batch norm what to do."""

    def __init__(self) -> None:
        self.training = True
        self.keeps_for_backward = True
        self.own_parameters: dict[str, Parameter] = {}
        self.own_buffers: dict[str, Array] = {}
        self._kept: tuple[Any, ...] | None = None

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """The layer's function."""

    @abstractmethod
    def backward(self, grad_output: Array) -> Array:
        """The gradient of the loss with respect to the input; parameters accumulate theirs.

        Args:
            grad_output: the gradient with respect to the output, of its shape.

        Raises:
            RuntimeError: called before ``forward``.
        """

    def backward_parameters(self, grad_output: Array) -> None:
        """As ``backward``, without the gradient of the input, which the first layer of a network can omit."""
        self.backward(grad_output)

    def __call__(self, x: Array) -> Array:
        return self.forward(x)

    def keep(self, *values: Any) -> None:
        """Keep values of the forward pass for the backward pass."""
        self._kept = values if self.keeps_for_backward else None

    def kept(self) -> tuple[Any, ...]:
        """What the last forward pass kept.

        Raises:
            RuntimeError: there was none, or it ran under ``inference``.
        """
        if self._kept is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs a forward pass first, outside inference()")
        return self._kept

    def children(self) -> Mapping[str, Layer]:
        """The layers inside, by name; an empty name adds no level to the names of parameters."""
        return {}

    def layers(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Itself and all layers inside, each with the prefix of its parameters' names."""
        yield prefix, self
        for name, child in self.children().items():
            yield from child.layers(f"{prefix}{name}." if name else prefix)

    def named_parameters(self) -> dict[str, Parameter]:
        """Every parameter by its dotted name, as torch names it."""
        return {prefix + name: p for prefix, layer in self.layers() for name, p in layer.own_parameters.items()}

    def parameters(self) -> list[Parameter]:
        """Every parameter."""
        return list(self.named_parameters().values())

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, training: bool = True) -> None:
        """Switch to training, or with False to evaluation."""
        for _, layer in self.layers():
            layer.training = training

    def eval(self) -> None:
        """Switch to evaluation: dropout is off, batch norm uses its running statistics."""
        self.train(False)

    def cast(self, dtype: npt.DTypeLike) -> None:
        """Convert parameters, gradients and floating buffers."""
        for _, layer in self.layers():
            layer._kept = None
            for parameter in layer.own_parameters.values():
                parameter.data = parameter.data.astype(dtype)
                parameter.grad = None if parameter.grad is None else parameter.grad.astype(dtype)
            for name, buffer in layer.own_buffers.items():
                if np.issubdtype(buffer.dtype, np.floating):
                    layer.own_buffers[name] = buffer.astype(dtype)

    def state_dict(self) -> StateDict:
        """Copies of all parameters and buffers, by the names and in the shapes that torch gives them."""
        state = {}
        for prefix, layer in self.layers():
            own = {name: p.data for name, p in layer.own_parameters.items()} | layer.own_buffers
            state.update({prefix + name: array.copy() for name, array in own.items()})
        return state

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Copy values in, converted to the dtype that each has here; nothing changes when something is wrong.

        Raises:
            ValueError: a name is missing or unknown, or a shape differs.
        """
        arrays = {name: np.asarray(value) for name, value in state.items()}
        _check_state(self.state_dict(), arrays)
        for prefix, layer in self.layers():
            for name, parameter in layer.own_parameters.items():
                parameter.data[...] = arrays[prefix + name]
            for name, buffer in layer.own_buffers.items():
                buffer[...] = arrays[prefix + name]


def _check_state(own: StateDict, given: StateDict) -> None:
    missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing or unknown:
        raise ValueError(f"the state must hold the network's names; missing: {missing}, unknown: {unknown}")
    for name, array in own.items():
        if array.shape != given[name].shape:
            raise ValueError(f"'{name}' must have shape {array.shape}, got {given[name].shape}")


@contextmanager
def inference(network: Layer) -> Iterator[Layer]:
    """Evaluation mode that keeps nothing for a backward pass; restores each layer's mode afterwards."""
    modes = [(layer, layer.training, layer.keeps_for_backward) for _, layer in network.layers()]
    for layer, _, _ in modes:
        layer.training, layer.keeps_for_backward, layer._kept = False, False, None
    try:
        yield network
    finally:
        for layer, training, keeps in modes:
            layer.training, layer.keeps_for_backward = training, keeps


def check_input(layer: Layer, x: Array, ndim: int, size: int) -> None:
    """Check the rank, the channels (axis 1) and the dtype of a weighted layer's input.

    Raises:
        ValueError: one differs; a silent conversion would compute in float64 what should be float32.
    """
    name, dtype = type(layer).__name__, next(iter(layer.own_parameters.values())).data.dtype
    if x.ndim != ndim or x.shape[1] != size:
        shape = "(N, C, H, W)" if ndim == 4 else "(N, C)"
        raise ValueError(f"{name} must get {shape} with C = {size}, got {x.shape}")
    if x.dtype != dtype:
        raise ValueError(f"{name} must get {dtype} as its weights, got {x.dtype}; convert one of them")
