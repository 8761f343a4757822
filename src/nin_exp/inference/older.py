"""Configurations of runs that an older version made: keys that were added since stand at their default.

A new key's default is what the code did before it had the key, so the run is still what it was. Keys that are gone or
have another meaning are not guessed.
"""

from __future__ import annotations

from typing import Any

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import resolve_config_dirs
from nin_exp.config import OPEN_GROUPS
from nin_exp.errors import ConfigError

_KEPT_AS_THEY_ARE = ("choices", "logger")


def completed(values: dict[str, Any]) -> dict[str, Any]:
    """A resolved configuration with the keys of this version.

    Raises:
        ConfigError: what the run was made of is missing: the file is no whole configuration.
    """
    missing = [key for key in (*OPEN_GROUPS, "trainer", "choices") if not isinstance(values.get(key), dict)]
    if missing:
        raise ConfigError(f"{missing[0]} is missing")
    composer = Composer(resolve_config_dirs(None))
    known = {g: str(option) for g, option in values["choices"].items() if str(option) in composer.groups.get(g, ())}
    return _filled(values, composer.resolve(list(known.items())))


def _filled(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    filled = dict(values)
    for key, default in defaults.items():
        if key not in values:
            filled[key] = default
        elif key not in _KEPT_AS_THEY_ARE and isinstance(default, dict) and isinstance(values[key], dict):
            is_same_class = values[key].get("_target_") == default.get("_target_")
            filled[key] = _filled(values[key], default) if is_same_class else values[key]
    return filled
