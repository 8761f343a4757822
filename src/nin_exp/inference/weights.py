"""From a run directory to its network: the configuration is checked, the checkpoint verified, the weights loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from nin_exp.compose.bounded_yaml import read_bounded
from nin_exp.compose.check import checked_config
from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError, IntegrityError
from nin_exp.inference.input_spec import InputSpec
from nin_exp.records.record import Record

if TYPE_CHECKING:
    import torch

    from nin_exp.contracts.model import Network

Weights = Literal["selected", "best", "last"]
CHECKPOINTS = {"best": Path("checkpoints", "best.ckpt"), "last": Path("checkpoints", "last.ckpt")}


def read_config(run_dir: Path, allowed_packages: tuple[str, ...]) -> ExperimentConfig:
    """Read and check ``config.yaml``, also of a run that an older version made; without torch.

    Raises:
        IntegrityError: the file is missing or no configuration of this version.
        RefusedError: it names classes outside the allowed packages.
    """
    path = run_dir / "config.yaml"
    try:
        values = yaml.safe_load(read_bounded(path))
    except (ConfigError, OSError, ValueError, yaml.YAMLError) as error:
        raise IntegrityError(f"{path} must be the run's configuration, but cannot be read; train it again") from error
    if not isinstance(values, dict):
        raise IntegrityError(f"{path} must be the run's configuration, got {type(values).__name__}; train it again")
    loggers, values = values.get("logger") or {}, {**values, "logger": {}}  # not built here; secrets were redacted
    try:
        return replace(checked_config(values, allowed_packages), logger=loggers)
    except ConfigError:
        pass
    from nin_exp.inference.older import completed  # composes, which takes its time

    try:
        return replace(checked_config(completed(values), allowed_packages), logger=loggers)
    except ConfigError as error:
        raise IntegrityError(f"{path} does not fit this version of nin-exp: {error}; train the run again") from error


def load_network(
    run_dir: Path,
    config: ExperimentConfig,
    record: Record,
    spec: InputSpec,
    *,
    weights: Weights,
    device: str,
    allowed_packages: tuple[str, ...],
) -> Network:
    """The trained network in evaluation mode; the checkpoint is verified before anything is built.

    Raises:
        IntegrityError: the checkpoint is missing, damaged, or not of this network.
    """
    import torch

    from nin_exp.build import build_network
    from nin_exp.checkpoint.files import load_checkpoint

    path = checkpoint_path(run_dir, config, record, weights)
    state = None if path is None else load_checkpoint(path)
    network = build_network(config, spec.image_spec, spec.num_classes, allowed_packages)
    if state is not None:
        _load_weights(network, state, path, record, weights)
    network.to(device)
    if config.trainer.channels_last:
        network.to(memory_format=torch.channels_last)
    return network.eval().requires_grad_(False)


def checkpoint_path(run_dir: Path, config: ExperimentConfig, record: Record, weights: Weights) -> Path | None:
    """The file with these weights; None for a run of no epoch, whose weights are those it began with.

    Raises:
        ConfigError: the run failed.
        IntegrityError: the run did not keep them; says which it kept.
    """
    if record.status != "done":
        why = f" ({record.error})" if record.error else ""
        raise ConfigError(f"{run_dir} must be a run that is done, got {record.status}{why}; train it again")
    if record.epochs == 0:
        return None
    best, last = (run_dir / CHECKPOINTS[name] for name in ("best", "last"))
    kept = {name: run_dir / path for name, path in CHECKPOINTS.items() if (run_dir / path).is_file()}
    if weights != "selected":
        candidates = [best if weights == "best" else last]
    else:
        is_best = config.trainer.select == "best" and record.best_epoch is not None
        epoch = record.best_epoch if is_best else record.epochs
        # One file serves for both where the best epoch was the last.
        candidates = [best] * (epoch == record.best_epoch) + [last] * (epoch == record.epochs)
    found = [path for path in candidates if path in kept.values()]
    if found:
        return found[0]
    keep = config.checkpoint.keep
    if kept:
        name = next(iter(kept))
        raise IntegrityError(
            f"{run_dir} did not keep its {weights} weights (checkpoint.keep={keep}), only the {name} ones; "
            f"take those (weights={name}), or train again with checkpoint.keep=both"
        )
    why = "it was trained with checkpoint.keep=none" if keep == "none" else f"{candidates[0]} is missing"
    raise IntegrityError(f"{run_dir} has no weights: {why}; train again with checkpoint.keep=both")


def _load_weights(
    network: Network, state: Mapping[str, Any], path: Path | None, record: Record, weights: Weights
) -> None:
    is_best = path is not None and path.name == CHECKPOINTS["best"].name
    if is_best and weights == "selected" and state.get("epoch") != record.best_epoch:
        raise IntegrityError(
            f"{path} holds epoch {state.get('epoch')}, not the best epoch {record.best_epoch}; train the run again"
        )
    try:
        network.load_state_dict(state["network"])
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise IntegrityError(f"{path} does not fit the network of its configuration: {reason}") from error


def pick_device(name: str) -> torch.device:
    """A device from its name; ``auto`` is the GPU where there is one.

    Raises:
        ConfigError: the device is not one, or not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device must be one of this machine, got '{name}' ({reason}); use auto or cpu") from error
    return device
