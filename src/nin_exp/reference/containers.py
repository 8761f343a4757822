"""Layers made of layers.

Children have names, so that parameters are called what a torch model calls them. An empty name adds no level:
in ``Residual(body, shortcut, names=("", "downsample"))`` the body's parameters stand beside ``downsample``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nin_exp.reference.layout import Array, channels_first
from nin_exp.reference.module import Layer


class _Container(Layer):
    """Holds named layers; each layer object may stand at one place only, for it keeps one forward pass."""

    def __init__(self, children: Mapping[str, Layer]) -> None:
        super().__init__()
        self._children = dict(children)
        seen: set[int] = set()
        for name, layer in self.layers():
            if id(layer) in seen:
                raise ValueError(
                    f"{type(layer).__name__} stands at two places (again at '{name}'); make a second layer, "
                    "since one layer keeps one forward pass"
                )
            seen.add(id(layer))
        names = [p + n for p, layer in self.layers() for n in (*layer.own_parameters, *layer.own_buffers)]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"names of parameters must differ, got twice: {', '.join(twice)}")

    def children(self) -> Mapping[str, Layer]:
        """The layers inside, by name."""
        return self._children


def _named(layers: tuple[Layer | Mapping[str, Layer], ...]) -> dict[str, Layer]:
    """Layers numbered from 0, or one mapping as it is."""
    named: dict[str, Layer] = {}
    for number, layer in enumerate(layers):
        if isinstance(layer, Layer):
            named[str(number)] = layer
        elif len(layers) == 1:
            named.update(layer)
        else:
            raise ValueError("give layers one by one, or one mapping of names to layers")
    return named


class Sequential(_Container):
    """One layer after the other: y = f_n(... f_1(x)).

    Args:
        layers: layers, named "0", "1", ... as in torch, or one mapping of names to layers; none for the identity.

    Shapes: those of the first layer's x and the last one's y.
    """

    def __init__(self, *layers: Layer | Mapping[str, Layer]) -> None:
        super().__init__(_named(layers))

    def forward(self, x: Array) -> Array:
        """First to last."""
        for layer in self._children.values():
            x = layer.forward(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        """The chain rule, last to first."""
        for layer in reversed(self._children.values()):
            grad_output = layer.backward(grad_output)
        return grad_output

    def backward_parameters(self, grad_output: Array) -> None:
        """As ``backward``; the first layer's input needs no gradient."""
        layers = list(self._children.values())
        for layer in reversed(layers[1:]):
            grad_output = layer.backward(grad_output)
        for first in layers[:1]:
            first.backward_parameters(grad_output)


class Concat(_Container):
    """Branches side by side, their channels one after the other: y = [f_1(x), ..., f_n(x)].

    Args:
        branches: layers, named "0", "1", ..., or one mapping of names to layers. Their results agree in
            N, H, W.

    Shapes: ``(N, C, H, W)`` to ``(N, C_1 + ... + C_n, H', W')``; also ``(N, C)`` to ``(N, C_1 + ... + C_n)``.
    Source: Szegedy et al. 2015 (Inception), section 4.
    """

    def __init__(self, *branches: Layer | Mapping[str, Layer]) -> None:
        super().__init__(_named(branches))

    def forward(self, x: Array) -> Array:
        """``(N, C, H, W)`` to ``(N, sum of the branches' channels, H', W')``."""
        results = [branch.forward(x) for branch in self._children.values()]
        self.keep([y.shape[1] for y in results])
        if results[0].ndim == 4:
            return channels_first(np.concatenate([y.transpose(0, 2, 3, 1) for y in results], axis=3))
        return np.concatenate(results, axis=1)

    def backward(self, grad_output: Array) -> Array:
        """Each branch gets its channels' gradients; x has fed them all, so their gradients add up."""
        first, *others = self._split(grad_output)
        dx = first[0].backward(first[1])
        for branch, gradient in others:
            dx = dx + branch.backward(gradient)
        return dx

    def backward_parameters(self, grad_output: Array) -> None:
        """As ``backward``, without the gradient of the input."""
        for branch, gradient in self._split(grad_output):
            branch.backward_parameters(gradient)

    def _split(self, grad_output: Array) -> list[tuple[Layer, Array]]:
        (channels,) = self.kept()
        gradients = np.split(grad_output, np.cumsum(channels)[:-1], axis=1)
        return list(zip(self._children.values(), gradients, strict=True))


class Residual(_Container):
    """y = f(x) + g(x), where the shortcut g is the identity unless a layer is given (a projection).

    Args:
        body: f.
        shortcut: g, or None for the identity.
        names: of body and shortcut; "" adds no level.

    Shapes: those of the body, which the shortcut must share; without a shortcut x has the shape of y.
    Source: He et al. 2016, eq. 1 and 2. The ReLU after the sum is a layer of its own.
    """

    def __init__(
        self, body: Layer, shortcut: Layer | None = None, names: tuple[str, str] = ("body", "shortcut")
    ) -> None:
        if names[0] == names[1]:
            raise ValueError(f"body and shortcut must have different names, got '{names[0]}' twice")
        super().__init__({names[0]: body} if shortcut is None else {names[0]: body, names[1]: shortcut})
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Array) -> Array:
        """The sum of both ways."""
        y = self.body.forward(x)
        aside = x if self.shortcut is None else self.shortcut.forward(x)
        if y.shape != aside.shape:
            raise ValueError(f"body and shortcut must give one shape, got {y.shape} and {aside.shape}")
        return y + aside

    def backward(self, grad_output: Array) -> Array:
        """``dx = df(dy) + dg(dy)``: a sum hands its gradient to both terms."""
        dx = self.body.backward(grad_output)
        return dx + (grad_output if self.shortcut is None else self.shortcut.backward(grad_output))

    def backward_parameters(self, grad_output: Array) -> None:
        """As ``backward``, without the gradient of the input."""
        self.body.backward_parameters(grad_output)
        if self.shortcut is not None:
            self.shortcut.backward_parameters(grad_output)
