"""Muon: momentum whose matrices are orthogonalised before the step.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; after github.com/KellerJordan/Muon, muon.py
(``SingleDeviceMuonWithAuxAdam``). torch.optim.Muon takes matrices alone and leaves the other parameters to a second
optimizer; a run has one, whose state dict is the whole of it. Kernels count as matrices ``(out, in*kH*kW)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from nin_exp.contracts.model import Network
from nin_exp.errors import ConfigError
from nin_exp.optim.groups import DecayRate, GroupedOptimizer, norm_parameters
from nin_exp.ranges import NonNegativeFloat, PositiveFloat, PositiveInt


@dataclass(frozen=True, kw_only=True)
class Muon(GroupedOptimizer):
    """Muon on matrices and kernels; SGD or AdamW on biases, norm layers and the last layer.

    Args:
        lr: learning rate of Muon: the spectral norm of a square matrix's step.
        momentum: in [0, 1).
        nesterov: look ahead along the momentum, in Muon and in SGD; SGD then needs others_momentum above 0.
        ns_steps: Newton-Schulz iterations.
        adjust_lr: factor on lr for each matrix: ``original`` sqrt(max(1, rows/columns)), or ``match_rms_adamw``
            0.2 * sqrt(max(rows, columns)), with which AdamW's rates serve (Liu et al. 2025, arXiv 2502.16982).
        weight_decay: each step shrinks Muon's weights by lr * weight_decay.
        last_layer_by_muon: give the head's last weights to Muon too.
        others: what moves the other parameters.
        others_lr: its learning rate.
        others_momentum: momentum of ``sgd``.
        beta1: of ``adamw``: decay of the mean of gradients, in [0, 1).
        beta2: of ``adamw``: decay of the mean of squared gradients, in [0, 1).
        eps: of ``adamw``: added to the denominator.
        others_weight_decay: on the last layer's weights: decoupled with ``adamw``, L2 with ``sgd``.

    Raises:
        ConfigError: SGD with nesterov but without momentum.
    """

    momentum: DecayRate
    nesterov: bool
    ns_steps: PositiveInt
    adjust_lr: Literal["original", "match_rms_adamw"]
    last_layer_by_muon: bool
    others: Literal["sgd", "adamw"]
    others_lr: PositiveFloat
    others_momentum: DecayRate
    beta1: DecayRate
    beta2: DecayRate
    eps: PositiveFloat
    others_weight_decay: NonNegativeFloat

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.others == "sgd" and self.nesterov and self.others_momentum == 0:
            rule = "optimizer.others_momentum must be above 0 for others=sgd with nesterov, got 0"
            raise ConfigError(f"{rule}; set it, or optimizer.nesterov=false")

    def build(self, network: Network) -> Optimizer:
        excluded = norm_parameters(network)
        if not self.last_layer_by_muon:
            excluded |= {id(parameter) for parameter in network.head.last_layer.parameters()}
        by_muon: dict[str, Any] = {
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "ns_steps": self.ns_steps,
            "adjust_lr": self.adjust_lr,
        }
        by_others: dict[str, Any] = (
            {"momentum": self.others_momentum, "nesterov": self.nesterov}
            if self.others == "sgd"
            else {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}
        )
        groups: list[dict[str, Any]] = []
        for factors in replace(self, lr=1.0, weight_decay=1.0).groups(network):
            matrices = [p for p in factors["params"] if p.ndim >= 2 and id(p) not in excluded]
            rest = [p for p in factors["params"] if p.ndim < 2 or id(p) in excluded]
            for params, rule, lr, decay, settings in (
                (matrices, "muon", self.lr, self.weight_decay, by_muon),
                (rest, self.others, self.others_lr, self.others_weight_decay, by_others),
            ):
                if params:
                    own = {"params": params, "rule": rule, "name": f"{rule}_{factors['name']}"}
                    rates = {"lr": lr * factors["lr"], "weight_decay": decay * factors["weight_decay"]}
                    groups.append({**own, **rates, **settings})
        return MuonAndOthers(groups, lr=self.lr)


class MuonAndOthers(Optimizer):
    """One optimizer whose groups each name their rule, ``muon``, ``sgd`` or ``adamw``, and its settings."""

    def __init__(self, groups: list[dict[str, Any]], *, lr: float) -> None:
        super().__init__(groups, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        rules = {"muon": _muon_step, "sgd": _sgd_step, "adamw": _adamw_step}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    rules[group["rule"]](parameter, parameter.grad, self.state[parameter], group)
        return loss


def orthogonalised(matrix: Tensor, steps: int) -> Tensor:
    """Roughly the nearest semi-orthogonal matrix: singular values come to lie between about 0.5 and 1.5.

    A quintic Newton-Schulz iteration, its coefficients those of the source. In bfloat16 on GPUs, as there; in
    float32 on CPUs, most of which have no fast bfloat16 product.

    Args:
        matrix: ``(R, C)``.
        steps: iterations.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = wide.bfloat16() if wide.is_cuda else wide.float()
    x = x / (x.norm() + 1e-7)  # the spectral norm is at most this one
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    tall: Tensor = x.T if matrix.shape[0] > matrix.shape[1] else x
    return tall.to(matrix.dtype)


def _muon_step(weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if "momentum_buffer" not in state:
        state["momentum_buffer"] = torch.zeros_like(gradient)
    buffer, momentum = state["momentum_buffer"], group["momentum"]
    buffer.lerp_(gradient, 1 - momentum)
    update = gradient.lerp(buffer, momentum) if group["nesterov"] else buffer
    matrix = orthogonalised(update.reshape(len(update), -1), group["ns_steps"])
    rows, columns = matrix.shape
    # The source takes the last two axes of a kernel's gradient, which are its height and width: always 1.
    factor = max(1.0, rows / columns) ** 0.5
    if group["adjust_lr"] == "match_rms_adamw":
        factor = 0.2 * max(rows, columns) ** 0.5
    weight.mul_(1 - group["lr"] * group["weight_decay"])
    weight.add_(matrix.reshape(weight.shape), alpha=-group["lr"] * factor)


def _sgd_step(weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    gradient = gradient.add(weight, alpha=group["weight_decay"])
    if "momentum_buffer" not in state:
        state["momentum_buffer"] = torch.zeros_like(gradient)
    buffer, momentum = state["momentum_buffer"], group["momentum"]
    buffer.mul_(momentum).add_(gradient)
    update = gradient.add(buffer, alpha=momentum) if group["nesterov"] else buffer
    weight.add_(update, alpha=-group["lr"])


def _adamw_step(weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if "step" not in state:
        state.update(step=0, exp_avg=torch.zeros_like(weight), exp_avg_sq=torch.zeros_like(weight))
    state["step"] += 1
    mean, square, beta1, beta2 = state["exp_avg"], state["exp_avg_sq"], group["beta1"], group["beta2"]
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    weight.mul_(1 - group["lr"] * group["weight_decay"])
    deviation = (square / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
    weight.addcdiv_(mean, deviation, value=-group["lr"] / (1 - beta1 ** state["step"]))
