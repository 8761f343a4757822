"""Everything that a run needs to go on as if it had never stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from nin_exp.data.loader import BatchLoader
from nin_exp.errors import IntegrityError
from nin_exp.module.classifier import Classifier


@dataclass
class Progress:
    """Where a run is, and what it has seen.

    Args:
        epoch: epochs that are complete.
        step: optimizer steps done.
        batch: batches done in the epoch under way; 0 between epochs.
        rows: a metrics row for each complete epoch.
        times: seconds of training and of evaluation for each complete epoch, and the training images timed.
        best: epoch (counted from 1) and value of the best validation accuracy.
    """

    epoch: int = 0
    step: int = 0
    batch: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    times: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    best_value: float = float("-inf")
    flags: list[str] = field(default_factory=list)


def capture(progress: Progress, module: Classifier, loader: BatchLoader, identity: dict[str, str]) -> dict[str, Any]:
    """A checkpoint's content: plain containers and tensors only.

    Args:
        identity: hashes of the configuration and the data, compared when a run goes on.
    """
    assert module.optimizer is not None
    assert module.schedule is not None
    return {
        "identity": identity,
        "progress": {
            "epoch": progress.epoch,
            "step": progress.step,
            "batch": progress.batch,
            "rows": progress.rows,
            "times": progress.times,
            "best_epoch": progress.best_epoch,
            "best_value": progress.best_value,
            "flags": progress.flags,
        },
        "network": module.network.state_dict(),
        "optimizer": module.optimizer.state_dict(),
        "schedule": module.schedule.scheduler.state_dict(),
        "sums": {
            "loss": module.loss_sum.cpu(),
            "hits": module.hit_count.cpu(),
            "count": module.example_count,
        },
        # The batches that were trained count, not those that were fetched.
        "loader": {**loader.state_dict(), "epoch": progress.epoch, "position": progress.batch},
        "rng": {
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if _uses_cuda(module) else [],
        },
    }


def restore_network(
    state: dict[str, Any], module: Classifier, loader: BatchLoader, identity: dict[str, str]
) -> Progress:
    """Load what exists before training starts: weights, loader position, progress.

    Raises:
        IntegrityError: the state belongs to another configuration or other data.
    """
    for name, value in identity.items():
        if state["identity"].get(name) != value:
            raise IntegrityError(
                f"the checkpoint was made from another {name}; train into another study, or delete the run directory"
            )
    module.network.load_state_dict(state["network"])
    loader.load_state_dict(state["loader"])
    return Progress(**state["progress"])


def restore_optimizer(state: dict[str, Any], module: Classifier) -> None:
    """Load what exists only once training has started: optimizer, schedule, sums, random states."""
    assert module.optimizer is not None
    assert module.schedule is not None
    module.optimizer.load_state_dict(state["optimizer"])
    module.schedule.scheduler.load_state_dict(state["schedule"])
    module.loss_sum = state["sums"]["loss"].to(module.device)
    module.hit_count = state["sums"]["hits"].to(module.device)
    module.example_count = state["sums"]["count"]
    torch.set_rng_state(state["rng"]["cpu"])
    if state["rng"]["cuda"]:
        torch.cuda.set_rng_state_all(state["rng"]["cuda"])


def _uses_cuda(module: Classifier) -> bool:
    return module.device.type == "cuda"
