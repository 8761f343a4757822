"""Optimizers with parameter groups: ``step`` reads ``Parameter.grad``, changes ``Parameter.data`` in place.

A parameter without a gradient (None) is left alone, also by weight decay and momentum, as in torch. Learning
rates may be changed between steps: ``optimizer.groups[0]["lr"] = 0.01``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nin_exp.reference.layout import Array
from nin_exp.reference.module import Parameter, StateDict

Group = dict[str, Any]


class Optimizer(ABC):
    """Steps over groups, each a dictionary with "parameters" and its own settings."""

    def __init__(self, parameters: Iterable[Parameter] | Iterable[Mapping[str, Any]], defaults: dict[str, Any]) -> None:
        given = list(parameters)
        groups: list[Mapping[str, Any]] = [g for g in given if isinstance(g, Mapping)]
        if len(groups) < len(given):
            groups = [{"parameters": given}]
        self.groups: list[Group] = []
        for group in groups:
            unknown = sorted(group.keys() - defaults.keys() - {"parameters"})
            if unknown:
                raise ValueError(f"a group's keys must be parameters or one of {sorted(defaults)}, got {unknown}")
            self.groups.append({**defaults, **group, "parameters": list(group["parameters"])})
            _check_settings(self.groups[-1])
        everything = self.parameters()
        if not everything or len({id(p) for p in everything}) < len(everything):
            raise ValueError("an optimizer must get at least one parameter, and each of them once")
        self._state: dict[int, StateDict] = {}

    def parameters(self) -> list[Parameter]:
        """Every parameter, group by group."""
        return [p for group in self.groups for p in group["parameters"]]

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.groups:
            for parameter in group["parameters"]:
                if parameter.grad is not None:
                    self._update(parameter.data, parameter.grad, self._state.setdefault(id(parameter), {}), group)

    @abstractmethod
    def _update(self, w: Array, g: Array, state: StateDict, group: Group) -> None:
        """Change the weights w, given their gradient g, which stays as it is."""

    def state_dict(self) -> StateDict:
        """Copies of momenta and counts, named "<number of the parameter>.<name>"."""
        return {
            f"{number}.{name}": value.copy()
            for number, parameter in enumerate(self.parameters())
            for name, value in self._state.get(id(parameter), {}).items()
        }

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take up a state given by ``state_dict``; learning rates are not part of it.

        Raises:
            ValueError: a name or shape does not fit the parameters.
        """
        loaded: dict[int, StateDict] = {}
        parameters = self.parameters()
        for key, value in state.items():
            number, _, name = key.partition(".")
            if not number.isdigit() or int(number) >= len(parameters):
                raise ValueError(f"the optimizer's state must name one of {len(parameters)} parameters, got '{key}'")
            parameter = parameters[int(number)]
            if value.shape not in ((), parameter.data.shape):
                raise ValueError(f"'{key}' must have shape {parameter.data.shape}, got {value.shape}")
            loaded.setdefault(id(parameter), {})[name] = np.array(value)
        self._state = loaded


class SGD(Optimizer):
    """Stochastic gradient descent.

    g <- g + weight_decay w; v <- momentum v + g (v = g at the first step); w <- w - lr v. With Nesterov's
    momentum w <- w - lr (g + momentum v).

    Args:
        parameters: parameters, or groups: mappings with "parameters" and any of the settings below.
        lr: from 0.
        momentum: from 0.
        weight_decay: from 0.
        nesterov: whether to look ahead; needs momentum.

    Shapes: g and v have the shape of w. Source: Sutskever et al. 2013, section 2, in torch's form (lr outside v).
    """

    def __init__(
        self,
        parameters: Iterable[Parameter] | Iterable[Mapping[str, Any]],
        *,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        )

    def _update(self, w: Array, g: Array, state: StateDict, group: Group) -> None:
        momentum = group["momentum"]
        if group["weight_decay"]:
            g = g + group["weight_decay"] * w
        if momentum:
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = g.copy()
            else:
                state["momentum_buffer"] *= momentum
                state["momentum_buffer"] += g
            v = state["momentum_buffer"]
            g = g + momentum * v if group["nesterov"] else v
        w -= group["lr"] * g


class Adam(Optimizer):
    """Adaptive moments.

    m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2; w <- w - lr m^ / (sqrt(v^) + eps), where
    m^ = m / (1 - b1^t), v^ = v / (1 - b2^t).

    Args:
        parameters: parameters, or groups: mappings with "parameters" and any of the settings below.
        lr: from 0.
        betas: b1 and b2, from 0, below 1.
        eps: from 0.
        weight_decay: from 0; added to the gradient as weight_decay w.
        decoupled: AdamW instead: w <- (1 - lr weight_decay) w before the step, and g as it is.
        amsgrad: the largest v so far in the place of v (v^ = max v / (1 - b2^t), as in torch).

    Shapes: g, m and v have the shape of w.
    Source: Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2; Reddi et al. 2018, algorithm 2.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter] | Iterable[Mapping[str, Any]],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        amsgrad: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, {**settings, "decoupled": decoupled, "amsgrad": amsgrad})

    def _update(self, w: Array, g: Array, state: StateDict, group: Group) -> None:
        (b1, b2), lr, weight_decay = group["betas"], group["lr"], group["weight_decay"]
        if weight_decay and group["decoupled"]:
            w *= 1 - lr * weight_decay
        elif weight_decay:
            g = g + weight_decay * w
        if not state:
            state.update(step=np.array(0, np.int64), exp_avg=np.zeros_like(w), exp_avg_sq=np.zeros_like(w))
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = np.zeros_like(w)
        state["step"] += 1
        m, v, t = state["exp_avg"], state["exp_avg_sq"], int(state["step"])
        m *= b1
        m += (1 - b1) * g
        v *= b2
        v += (1 - b2) * np.square(g)
        if group["amsgrad"]:
            v = np.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
        denominator = np.sqrt(v) / math.sqrt(1 - b2**t) + group["eps"]
        w -= lr / (1 - b1**t) * (m / denominator)


def clip_gradient_norm(parameters: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients by one factor so that their joint Euclidean norm is at most ``max_norm``.

    Returns:
        The norm before. Source: Pascanu et al. 2013, algorithm 1.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients))
    if norm > max_norm:
        for gradient in gradients:
            gradient *= max_norm / norm
    return norm


def _check_settings(group: Group) -> None:
    for key in ("lr", "momentum", "weight_decay", "eps"):
        if key in group and not group[key] >= 0:
            raise ValueError(f"{key} must be at least 0, got {group[key]}")
    if "betas" in group and not all(0 <= b < 1 for b in group["betas"]):
        raise ValueError(f"betas must lie in [0, 1), got {group['betas']}")
    if group.get("nesterov") and not group["momentum"] > 0:
        raise ValueError("nesterov needs momentum above 0, got 0")
