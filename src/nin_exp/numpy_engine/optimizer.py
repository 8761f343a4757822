"""The reference optimizer with the settings and parameter groups of a torch optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from nin_exp.errors import ConfigError
from nin_exp.reference.module import Parameter
from nin_exp.reference.optimizers import SGD, Adam, Optimizer


def numpy_optimizer(built: torch.optim.Optimizer, parameters: Mapping[int, Parameter]) -> Optimizer:
    """SGD, Adam or AdamW in NumPy.

    Args:
        built: has the settings and groups; it never steps.
        parameters: the reference parameter of each torch parameter, by its ``id``.

    Raises:
        ConfigError: another optimizer, or a setting that NumPy's has not.
    """
    kind = type(built)
    if kind not in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        raise ConfigError(f"optimizer must be sgd, adam or adamw with engine=numpy, got {kind.__name__}")
    groups = []
    for group in built.param_groups:
        if group["maximize"] or group.get("dampening"):
            raise ConfigError("optimizer must minimise without dampening with engine=numpy; use engine=torch")
        settings = _sgd(group) if kind is torch.optim.SGD else _adam(group, decoupled=kind is torch.optim.AdamW)
        groups.append({**settings, "parameters": [parameters[id(p)] for p in group["params"]]})
    lr = float(built.defaults["lr"])
    return SGD(groups, lr=lr) if kind is torch.optim.SGD else Adam(groups, lr=lr)


def _sgd(group: Mapping[str, Any]) -> dict[str, Any]:
    return {"lr": float(group["lr"]), **{name: group[name] for name in ("momentum", "weight_decay", "nesterov")}}


def _adam(group: Mapping[str, Any], *, decoupled: bool) -> dict[str, Any]:
    settings = {name: group[name] for name in ("betas", "eps", "weight_decay", "amsgrad")}
    return {"lr": float(group["lr"]), "decoupled": decoupled, **settings}
