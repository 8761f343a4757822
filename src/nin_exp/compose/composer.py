"""From settings to a checked configuration.

Hydra composes once for each combination of group choices; values are then set on the result.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nin_exp.compose.check import TRUSTED, checked_config
from nin_exp.compose.groups import check_choice, list_groups
from nin_exp.compose.options import compose_options
from nin_exp.compose.overrides import Setting, parse_each
from nin_exp.compose.signature import check_package
from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError, nearest

Assignment = tuple[str, str]
"""A key (or group) and its value as Hydra writes it."""


_MOST_TRIED = 100
"""Values of one list whose problems are told when the first one has some."""


class _UnknownName(ConfigError):
    """Keys or options that do not exist: the rest can be checked without them."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(*problems.values())
        self.keys = tuple(problems)


class Composer:
    """Composes configurations from the given folders, trusting the given packages."""

    def __init__(self, config_dirs: tuple[Path, ...], allowed_packages: tuple[str, ...] = ()) -> None:
        for name in allowed_packages:
            check_package(name)
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
        try:
            return checked_config(self.resolve(assignments), self.allowed_packages)
        except _UnknownName as error:
            rest = [a for a in assignments if not _is_below(a[0], error.keys)]
            raise ConfigError(*error.problems, *self._problems(rest)) from error

    def compose_first(self, settings: Sequence[Setting]) -> ExperimentConfig:
        """The configuration with the first value of each list; lists of seeds and of compared keys are no values.

        Raises:
            ConfigError: as ``compose``, and with what is wrong with the other values too.
        """
        settings = [s for s in settings if s.key != "compare.by" and not (s.swept and s.key in ("seed", "seeds"))]
        first = {s.key: s.values[0] for s in settings}
        try:
            return self.compose(list(first.items()))
        except ConfigError as error:
            others = [{**first, s.key: value} for s in settings for value in s.values[1:_MOST_TRIED]]
            raise ConfigError(*error.problems, *(p for o in others for p in self._problems(list(o.items())))) from error

    def settings(self, texts: Iterable[str], *, search: bool = False) -> list[Setting]:
        """Parse what was typed; see ``parse_overrides``.

        Raises:
            ConfigError: with what cannot be read, and what is wrong with the rest.
        """
        texts = list(texts)
        readable, problems = parse_each(texts, self.groups, search=search)
        if not problems:
            return readable
        try:
            self.compose_first(readable)
        except ConfigError as error:
            problems += error.problems
        raise ConfigError(*problems)

    def _problems(self, assignments: Sequence[Assignment]) -> tuple[str, ...]:
        try:
            self.compose(assignments)
        except ConfigError as error:
            return error.problems
        return ()

    def resolve(self, assignments: Sequence[Assignment]) -> dict[str, Any]:
        """Compose into a plain mapping, interpolations resolved, types and ranges not yet checked."""
        return self._to_dict(self.unresolved(assignments), resolve=True)

    def unresolved_dict(self, assignments: Sequence[Assignment]) -> dict[str, Any]:
        """``unresolved`` as a plain mapping."""
        return self._to_dict(self.unresolved(assignments), resolve=False)

    def unresolved(self, assignments: Sequence[Assignment]) -> DictConfig:
        """Compose, keeping interpolations such as ``${seed}``. The result must not be changed.

        Jobs that differ in their seed alone share one configuration, in which the seed is set anew each time.
        """
        seed = next((value for key, value in reversed(assignments) if key == "seed"), None)
        others = tuple((k, v) for k, v in assignments if k != "seed")
        if others not in self._composed:
            self._composed[others] = self._assigned(others)
        config, own_seed = self._composed[others]
        if seed is None:
            OmegaConf.update(config, "seed", own_seed)
        else:
            self._set(config, ("seed", seed))
        return config

    def _assigned(self, assignments: tuple[Assignment, ...]) -> tuple[DictConfig, Any]:
        """A configuration with values set, and the seed it has by itself."""
        chosen = {k: v for k, v in assignments if k in self.groups}
        base, choices = self._base(tuple(sorted(chosen.items())))
        values = [(k, v) for k, v in assignments if k not in self.groups]
        unknown = {key: p for key, _ in values if (p := self._unknown_key(base, key)) is not None}
        if unknown:
            raise _UnknownName(unknown)
        config = copy.deepcopy(base)
        for assignment in values:
            self._set(config, assignment)
        with open_dict(config):
            config.choices = choices
        return config, config._get_node("seed")._value()  # type: ignore[union-attr]

    def _set(self, config: DictConfig, assignment: Assignment) -> None:
        try:
            OmegaConf.update(config, assignment[0], self.value(assignment), merge=False)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{assignment[0]}={assignment[1]}: {str(error).splitlines()[0]}") from error

    def _to_dict(self, config: DictConfig, *, resolve: bool) -> dict[str, Any]:
        try:
            return cast(dict[str, Any], OmegaConf.to_container(config, resolve=resolve, throw_on_missing=True))
        except OmegaConfBaseException as error:
            where = f"{error.full_key}: " if error.full_key else ""
            raise ConfigError(f"{where}{str(error).splitlines()[0]}") from error

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
            # `experiment=null` chooses nothing, which Hydra would not take as an override
            overrides = [f"{g}={option}" for g, option in chosen if self.value((g, option)) is not None]
            config, choices = compose_options(self.config_dirs, overrides)
            self._bases[chosen] = (config, {g: option for g, option in choices.items() if g in self.groups})
        return self._bases[chosen]

    def _check_choices(self, chosen: tuple[Assignment, ...]) -> None:
        found = {group: check_choice(group, self.value((group, text)), self.groups) for group, text in chosen}
        unknown = {group: problem for group, problem in found.items() if problem is not None}
        if unknown:
            raise _UnknownName(unknown)

    def _unknown_key(self, config: DictConfig, key: str) -> str | None:
        node: Any = config
        for depth, part in enumerate(parts := key.split(".")):
            if not isinstance(node, DictConfig) or part not in node:
                known = self._flat_keys(config)
                where = ".".join(parts[:depth])
                inside = f" in {where}" if where else ""
                names = [k for k in known if k.startswith(f"{where}.")] if where in self.groups else known
                hint = nearest(key, [*names, *([] if where else self.groups)])
                hint = hint or " `nin-exp train --cfg job` shows all keys."
                return f"{key} is unknown{inside}.{hint}"
            node = node._get_node(part)  # as it stands: it may be an interpolation, or missing
        return None

    def _flat_keys(self, node: DictConfig, prefix: str = "") -> list[str]:
        keys = []
        for name in map(str, node):
            key = f"{prefix}{name}"
            if name != "_target_":
                keys.append(key)
            if isinstance(child := node._get_node(name), DictConfig):
                keys += self._flat_keys(child, f"{key}.")
        return keys


def _is_below(key: str, others: Sequence[str]) -> bool:
    """Whether a key is one of the others, or belongs to the part that one of them chooses."""
    return any(key == other or key.startswith(f"{other}.") for other in others)


def to_yaml(values: dict[str, Any] | DictConfig) -> str:
    """A configuration as YAML text."""
    return str(OmegaConf.to_yaml(OmegaConf.create(values) if isinstance(values, dict) else values))
