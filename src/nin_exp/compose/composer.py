"""From settings to a checked configuration: the one place that calls Hydra's compose.

Hydra composes once for each combination of group choices (about 0.1 s); values are then set on the result.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nin_exp.compose.check import TRUSTED, checked_config
from nin_exp.compose.groups import check_option, list_groups
from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError, nearest

Assignment = tuple[str, str]
"""A key (or group) and its value as Hydra writes it."""


class Composer:
    """Composes configurations from the given folders, trusting the given packages."""

    def __init__(self, config_dirs: tuple[Path, ...], allowed_packages: tuple[str, ...] = ()) -> None:
        self.config_dirs = config_dirs
        self.allowed_packages = (*TRUSTED, *allowed_packages)
        self.groups = list_groups(config_dirs)
        self._bases: dict[tuple[Assignment, ...], tuple[DictConfig, dict[str, str]]] = {}
        self._composed: dict[tuple[Assignment, ...], tuple[DictConfig, Any]] = {}
        self._values: dict[Assignment, Any] = {}
        self._parser = OverridesParser.create()

    def compose(self, assignments: Sequence[Assignment]) -> ExperimentConfig:
        """Compose, check and resolve one configuration.

        Raises:
            ConfigError: with every problem that was found, in one line.
            RefusedError: a target lies outside the trusted packages.
        """
        return checked_config(self.resolve(assignments), self.allowed_packages)

    def resolve(self, assignments: Sequence[Assignment]) -> dict[str, Any]:
        """Compose into a plain mapping, interpolations resolved, types and ranges not yet checked."""
        return self._to_dict(self.unresolved(assignments), resolve=True)

    def unresolved(self, assignments: Sequence[Assignment]) -> DictConfig:
        """Compose, keeping interpolations such as ``${seed}``. The result must not be changed.

        Jobs that differ in their seed alone share one configuration, in which the seed is set anew each time.
        """
        seed = next((value for key, value in reversed(assignments) if key == "seed"), None)
        others = tuple((k, v) for k, v in assignments if k != "seed")
        if others not in self._composed:
            self._composed[others] = self._assigned(others)
        config, own_seed = self._composed[others]
        OmegaConf.update(config, "seed", own_seed if seed is None else self.value(("seed", seed)))
        return config

    def _assigned(self, assignments: tuple[Assignment, ...]) -> tuple[DictConfig, Any]:
        """A configuration with values set, and the seed it has by itself."""
        base, choices = self._base(tuple((k, v) for k, v in assignments if k in self.groups))
        values = [(k, v) for k, v in assignments if k not in self.groups]
        problems = [p for key, _ in values if (p := self._unknown_key(base, key)) is not None]
        if problems:
            raise ConfigError("; ".join(problems))
        config = copy.deepcopy(base)
        for assignment in values:
            try:
                OmegaConf.update(config, assignment[0], self.value(assignment), merge=False)
            except OmegaConfBaseException as error:
                raise ConfigError(f"{assignment[0]}={assignment[1]}: {str(error).splitlines()[0]}") from error
        with open_dict(config):
            config.choices = choices
        return config, config._get_node("seed")._value()  # type: ignore[union-attr]

    def _to_dict(self, config: DictConfig, *, resolve: bool) -> dict[str, Any]:
        try:
            return cast(dict[str, Any], OmegaConf.to_container(config, resolve=resolve, throw_on_missing=True))
        except OmegaConfBaseException as error:
            raise ConfigError(str(error).splitlines()[0]) from error

    def value(self, assignment: Assignment) -> Any:
        """The value that a setting's text stands for.

        Raises:
            ConfigError: Hydra's grammar does not know it.
        """
        if assignment not in self._values:
            text = "=".join(assignment)
            try:
                self._values[assignment] = self._parser.parse_override(text).value()
            except HydraException as error:
                raise ConfigError(f"'{text}' cannot be read: {str(error).splitlines()[0]}") from error
        return self._values[assignment]

    def _base(self, chosen: tuple[Assignment, ...]) -> tuple[DictConfig, dict[str, str]]:
        if chosen not in self._bases:
            self._check_choices(chosen)
            shipped, *extra = self.config_dirs
            overrides = [f"{group}={option}" for group, option in chosen]
            if extra:
                overrides.append(f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in extra)}]")
            try:
                with initialize_config_dir(version_base="1.3", config_dir=str(shipped)):
                    config = compose("config", overrides=overrides, return_hydra_config=True)
            except (ConfigCompositionException, MissingConfigException, OmegaConfBaseException) as error:
                raise ConfigError(" ".join(str(error).split())) from error
            choices = {g: str(o) for g, o in config.hydra.runtime.choices.items() if g in self.groups and o is not None}
            with open_dict(config):
                del config["hydra"]
            OmegaConf.set_struct(config, True)
            self._bases[chosen] = (config, choices)
        return self._bases[chosen]

    def _check_choices(self, chosen: tuple[Assignment, ...]) -> None:
        problems = []
        for group, text in chosen:
            value = self.value((group, text))
            for option in value if isinstance(value, list) else [value]:
                if option is not None:
                    problems.append(check_option(group, str(option), self.groups))
        found = [p for p in problems if p is not None]
        if found:
            raise ConfigError("; ".join(found))

    def _unknown_key(self, config: DictConfig, key: str) -> str | None:
        node: Any = config
        for depth, part in enumerate(parts := key.split(".")):
            if not isinstance(node, DictConfig) or part not in node:
                known = self._flat_keys(config)
                where = ".".join(parts[:depth])
                inside = f" in {where}" if where else ""
                names = [k for k in known if k.startswith(f"{where}.")] if where in self.groups else known
                hint = nearest(key, [*names, *([] if where else self.groups)])
                return f"{key} is unknown{inside}.{hint}"
            node = node._get_node(part) if OmegaConf.is_interpolation(node, part) else node[part]
        return None

    def _flat_keys(self, node: DictConfig, prefix: str = "") -> list[str]:
        keys = []
        for name in map(str, node):
            key = f"{prefix}{name}"
            if name != "_target_":
                keys.append(key)
            if not OmegaConf.is_interpolation(node, name) and isinstance(node[name], DictConfig):
                keys += self._flat_keys(node[name], f"{key}.")
        return keys


def to_yaml(values: dict[str, Any] | DictConfig) -> str:
    """A configuration as YAML text."""
    return str(OmegaConf.to_yaml(OmegaConf.create(values) if isinstance(values, dict) else values))
