"""Configurations from Python: composed from overrides, and written as overrides again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from nin_exp.compose.composer import Assignment, Composer
from nin_exp.compose.groups import resolve_config_dirs
from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError

Settings = ExperimentConfig | Sequence[str]
"""A composed configuration, or overrides as on the command line: ``["dataset=digits", "head=gap"]``."""


def compose(
    overrides: Sequence[str] = (), *, config_dir: str | None = None, allowed_packages: tuple[str, ...] = ()
) -> ExperimentConfig:
    """Compose and check one configuration; without torch.

    >>> compose(["head=fc", "optimizer.lr=0.01"]).optimizer["lr"]
    0.01

    Args:
        overrides: ``key=value`` and ``group=option``, in Hydra's syntax.
        config_dir: a folder of your own options, laid out as ``conf/``.
        allowed_packages: packages of your own whose classes may be named.

    Raises:
        ConfigError: with every problem, in one line; a list of values is one.
        RefusedError: a class lies outside the allowed packages.
    """
    return _compose(Composer(resolve_config_dirs(config_dir), allowed_packages), overrides)


def as_overrides(
    settings: Settings, *, config_dir: str | None = None, allowed_packages: tuple[str, ...] = ()
) -> list[str]:
    """The overrides that compose this configuration; overrides come back as they are.

    Raises:
        ConfigError: no overrides do, such as for a class that is not of the chosen option.
    """
    if isinstance(settings, str):
        raise ConfigError(f"settings must be a list of overrides, got the text '{settings}'; write ['{settings}']")
    if not isinstance(settings, ExperimentConfig):
        return list(settings)
    composer = Composer(resolve_config_dirs(config_dir), allowed_packages)
    default = composer.compose([]).choices
    words = [f"{group}={option}" for group, option in settings.choices.items() if default.get(group) != option]
    # The seed first: the others follow it unless they are set.
    words += _differences(settings, composer.resolve(_assignments(composer, words)), only="seed")
    words += _differences(settings, composer.resolve(_assignments(composer, words)))
    if _compose(composer, words) != settings:
        raise ConfigError("this configuration cannot be written as overrides; compose it with nin_exp.compose")
    return words


def _compose(composer: Composer, overrides: Sequence[str]) -> ExperimentConfig:
    return composer.compose(_assignments(composer, overrides))


def _assignments(composer: Composer, overrides: Sequence[str]) -> list[Assignment]:
    settings = composer.settings(overrides)
    swept = [str(setting) for setting in settings if setting.swept]
    if swept:
        raise ConfigError(f"{swept[0]} is a list of runs; a configuration is of one, nin_exp.compare takes lists")
    return [(setting.key, setting.values[0]) for setting in settings]


def _differences(config: ExperimentConfig, base: dict[str, Any], only: str | None = None) -> list[str]:
    """Overrides that lead from a resolved mapping (which need not be valid yet) to a configuration."""
    words: list[str] = []
    for key, wanted in asdict(config).items():
        if key != "choices" and only in (None, key):
            words += _leaf_differences(key, wanted, base[key])
    return words


def _leaf_differences(key: str, wanted: Any, base: Any) -> list[str]:
    if wanted == base:
        return []
    if isinstance(wanted, dict) and isinstance(base, dict) and wanted.get("_target_") != base.get("_target_"):
        raise ConfigError(
            f"{key}._target_ must be that of the chosen option, {base.get('_target_')}, got {wanted.get('_target_')}; "
            f"compose with {key}=OPTION"
        )
    if isinstance(wanted, dict) and isinstance(base, dict) and wanted.keys() == base.keys():
        return [word for name in wanted for word in _leaf_differences(f"{key}.{name}", wanted[name], base[name])]
    return [f"{key}={_written(wanted)}"]


def _written(value: Any) -> str:
    """A value in Hydra's grammar; texts are quoted, so that "1" does not become a number."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_written(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, str):
        quoted = value.replace("'", "\\'")
        return f"'{quoted}'"
    return repr(value)
