"""A head that has died: its class maps are zero everywhere, so every image gets the same answer."""

from __future__ import annotations

import math

from nin_exp.config import ExperimentConfig

DEAD_HEAD = "dead_head"
"""The flag of such a run."""


def is_chance_loss(loss: float, num_classes: int) -> bool:
    """Whether an epoch's mean loss is ln K, as it is for logits that are all alike (with label smoothing too)."""
    return abs(loss - math.log(num_classes)) < 1e-4


def remedy(config: ExperimentConfig) -> str:
    """What to do about it, for a run with this configuration."""
    if config.head.get("relu") is True:
        return (
            "the ReLU on the class maps has died (all maps zero, so no gradient passes); "
            "set head.relu=false, or lower optimizer.lr"
        )
    return (
        "no gradient reaches the weights; lower optimizer.lr, take init.scheme=kaiming, or a backbone with batch norm"
    )
