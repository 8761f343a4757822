"""Where configuration becomes objects: the only place that instantiates what a configuration names."""

from __future__ import annotations

import hashlib
import importlib
from typing import Any, TypeVar

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from nin_exp.compose.check import TRUSTED
from nin_exp.compose.signature import check_allowed, source_file
from nin_exp.config import ExperimentConfig, Node
from nin_exp.contracts.augment import Augmentation
from nin_exp.contracts.data import DataSource, ImageSpec
from nin_exp.contracts.model import Backbone, Head, Network
from nin_exp.contracts.optim import OptimizerFactory, ScheduleFactory
from nin_exp.errors import ConfigError, NinExpError, OutOfMemoryError
from nin_exp.layers.init import initialise

T = TypeVar("T")


def build(node: Node, key: str, contract: type[T], *args: object, allowed_packages: tuple[str, ...] = TRUSTED) -> T:
    """Build what a node names, and hold it to its contract.

    Raises:
        RefusedError: a target, at any depth, lies outside the allowed packages.
        ConfigError: the class refused its arguments, or is not what belongs here.
    """
    _check_targets(node, key, allowed_packages)
    _check_own_class(node, key, contract)
    try:
        built = instantiate(node, *args, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, NinExpError):
            raise cause from error
        reason = str(cause or error).splitlines()[0]
        if isinstance(cause, MemoryError) or "can't allocate memory" in reason:
            raise OutOfMemoryError(
                f"{key}: memory ran out while {node['_target_']} was built; make it smaller"
            ) from error
        raise ConfigError(f"{key}: {node['_target_']} cannot be built: {reason}") from error
    if not isinstance(built, contract):
        raise _wrong_kind(node, key, contract)
    return built


def _check_own_class(node: Node, key: str, contract: type) -> None:
    """Of this package only classes that fulfil the contract are called: its functions do other things than build."""
    module, _, name = node["_target_"].rpartition(".")
    if module.split(".")[0] in TRUSTED:
        source_file(module)  # it exists: `nin_exp.cli.main.os` is no module of ours
        found = getattr(importlib.import_module(module), name, None)
        if not (isinstance(found, type) and issubclass(found, contract)):
            raise _wrong_kind(node, key, contract)


def _wrong_kind(node: Node, key: str, contract: type) -> ConfigError:
    return ConfigError(f"{key} must name a {contract.__name__}, got {node['_target_']}; choose another option of {key}")


def _check_targets(value: Any, key: str, allowed_packages: tuple[str, ...]) -> None:
    if isinstance(value, dict):
        if "_target_" in value:
            check_allowed(value["_target_"], key, allowed_packages)
        for name, item in value.items():
            _check_targets(item, f"{key}.{name}", allowed_packages)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_targets(item, f"{key}[{index}]", allowed_packages)


def derived_seed(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose, so that no two random streams of a run are alike."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "big") >> 1


def build_dataset(config: ExperimentConfig, allowed_packages: tuple[str, ...] = TRUSTED) -> DataSource:
    """The data source of a configuration; nothing is read yet."""
    return build(config.dataset, "dataset", DataSource, allowed_packages=allowed_packages)


def build_augment(config: ExperimentConfig, allowed_packages: tuple[str, ...] = TRUSTED) -> Augmentation:
    """The augmentation of a configuration."""
    return build(config.augment, "augment", Augmentation, allowed_packages=allowed_packages)


def build_network(
    config: ExperimentConfig,
    in_spec: ImageSpec,
    num_classes: int,
    allowed_packages: tuple[str, ...] = TRUSTED,
) -> Network:
    """The backbone with its head, weights drawn from ``init_seed``.

    Backbone and head draw from streams of their own: arms that differ in the head start from the same trunk.

    Raises:
        GeometryError: a layer does not fit the image size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(config.init_seed, "backbone"))
        backbone = build(
            config.backbone,
            "backbone",
            Backbone,
            in_spec,
            allowed_packages=allowed_packages,
        )
        features = backbone.out_spec(in_spec)
        torch.manual_seed(derived_seed(config.init_seed, "head"))
        head = build(
            config.head,
            "head",
            Head,
            features,
            num_classes,
            backbone.class_map_block,
            allowed_packages=allowed_packages,
        )
    for name, part in (("backbone", backbone), ("head", head)):
        if not any(p.is_meta for p in part.parameters()):
            generator = torch.Generator().manual_seed(derived_seed(config.init_seed, name))
            initialise(part, config.init.scheme, config.init.std, generator)
    return Network(backbone, head)


def build_optimizer(config: ExperimentConfig, allowed_packages: tuple[str, ...] = TRUSTED) -> OptimizerFactory:
    """The optimizer's settings; it is made when the network is on its device."""
    return build(config.optimizer, "optimizer", OptimizerFactory, allowed_packages=allowed_packages)


def build_schedule(config: ExperimentConfig, allowed_packages: tuple[str, ...] = TRUSTED) -> ScheduleFactory:
    """The schedule's settings; it is made with the optimizer."""
    return build(config.schedule, "schedule", ScheduleFactory, allowed_packages=allowed_packages)
