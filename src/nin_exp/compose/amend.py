"""A finished run's configuration read back, with some settings changed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from nin_exp.compose.bounded_yaml import read_bounded
from nin_exp.compose.composer import Composer
from nin_exp.compose.overrides import Setting
from nin_exp.config import OPEN_GROUPS
from nin_exp.errors import ConfigError, IntegrityError
from nin_exp.records.redact import REDACTED

_PARTS = (*OPEN_GROUPS, "trainer", "executor", "sweep")
_DERIVED_SEEDS = ("split_seed", "init_seed", "order_seed", "augment_seed")


def read_resolved(path: Path) -> dict[str, Any]:
    """Read a run's ``config.yaml``.

    Raises:
        IntegrityError: it is missing, or no configuration.
    """
    try:
        values = OmegaConf.to_container(OmegaConf.create(read_bounded(path)), resolve=False)
    except (ConfigError, OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise IntegrityError(
            f"{path} must be a run's configuration, but cannot be read; train the run again"
        ) from error
    if not isinstance(values, dict) or not isinstance(values.get("choices"), dict):
        raise IntegrityError(f"{path} must be a run's configuration, but is none; train the run again")
    return cast(dict[str, Any], values)


def amended(composer: Composer, values: dict[str, Any], settings: Sequence[Setting]) -> dict[str, Any]:
    """A resolved configuration with groups chosen anew and keys set; not yet checked.

    The seeds that stood at ``seed`` follow it, as they do where they are not set.

    Raises:
        ConfigError: a setting is a list, or names what a finished configuration no longer has.
    """
    result = copy.deepcopy(values)
    for setting in settings:
        if setting.swept:
            raise ConfigError(f"{setting} must be one value with --from; list values with -m and without --from")
        key, text = setting.key, setting.values[0]
        if key in composer.groups:
            _choose(composer, result, key, text)
        elif key == "seed":
            old, new = result.get("seed"), composer.value((key, text))
            result |= {name: new for name in ("seed", *_DERIVED_SEEDS) if result.get(name) == old}
        else:
            _set(result, key, composer.value((key, text)))
    hidden = _find_hidden(result)
    if hidden is not None:
        raise ConfigError(f"{hidden} was a secret and is not in the run's config.yaml; set it, or use logger=none")
    return result


def _choose(composer: Composer, values: dict[str, Any], group: str, option: str) -> None:
    if group not in (*_PARTS, "logger"):
        raise ConfigError(f"{group}={option} is a preset, which --from cannot put onto a finished run; set its keys")
    composed = composer.resolve([(group, option)])
    values[group] = composed[group]
    values["choices"] = {**values["choices"], group: composed["choices"].get(group, option)}


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node = values
    for part in parents:
        if not isinstance(node.get(part), dict):
            raise ConfigError(f"{key} is unknown: the run's configuration has no {part}")
        node = node[part]
    node[last] = value


def _find_hidden(node: Any, key: str = "") -> str | None:
    if isinstance(node, dict):
        found = (_find_hidden(v, f"{key}.{k}" if key else str(k)) for k, v in node.items())
    elif isinstance(node, list):
        found = (_find_hidden(v, f"{key}[{i}]") for i, v in enumerate(node))
    else:
        return key if isinstance(node, str) and REDACTED in node else None
    return next((name for name in found if name is not None), None)
