"""What a user typed behind the verb: ``key=value``, ``group=option``, and sweeps in Hydra's syntax."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep
from hydra.errors import HydraException

from nin_exp.errors import ConfigError


@dataclass(frozen=True)
class Setting:
    """One override: a key or group with its value, or with the values of a sweep.

    Args:
        values: as Hydra writes them, so that each can stand in an override again.
        swept: whether the user asked for several values (also a sweep that holds only one).
    """

    key: str
    values: tuple[str, ...]
    swept: bool

    def __str__(self) -> str:
        return f"{self.key}={','.join(self.values)}"


def parse_overrides(texts: Iterable[str], groups: dict[str, tuple[str, ...]]) -> list[Setting]:
    """Parse overrides; a later one for the same key replaces an earlier one.

    Raises:
        ConfigError: with every override that cannot be read.
    """
    parser = OverridesParser.create()
    settings: dict[str, Setting] = {}
    problems = []
    for text in texts:
        try:
            if text.startswith("~"):
                raise ConfigError(f"'{text}' would delete a key, and every key is needed; set it to another value")
            override = parser.parse_override(text)
            setting = _to_setting(override, text, groups)
        except (HydraException, ConfigError) as error:
            problems.append(_explain(text, str(error)))
            continue
        settings.pop(setting.key, None)
        settings[setting.key] = setting
    if problems:
        raise ConfigError("; ".join(problems))
    return list(settings.values())


def _explain(text: str, message: str) -> str:
    if "=" not in text and not text.startswith("~"):
        return f"'{text}' must have the form key=value"
    first = message.splitlines()[0]
    return first if text in first else f"'{text}' cannot be read: {first}"


def _to_setting(override: Override, text: str, groups: dict[str, tuple[str, ...]]) -> Setting:
    key = override.get_key_element().lstrip("+~").split("@")[0]
    if key.split(".")[0] == "hydra":
        raise ConfigError(
            f"'{text}' sets Hydra itself, which only composes here; study= and runs_dir= say where runs go"
        )
    if not override.is_sweep_override():
        return Setting(key, (str(override.get_value_element_as_str()),), swept=False)
    value: object = override.value()
    if isinstance(value, Glob):
        options = _glob(value, groups.get(key, ()), text)
        return Setting(key, options, swept=True)
    if isinstance(value, ChoiceSweep | RangeSweep):
        try:
            return Setting(key, tuple(override.sweep_string_iterator()), swept=True)
        except (HydraException, ValueError, TypeError) as error:
            raise ConfigError(f"'{text}' cannot be expanded: {error}") from error
    raise ConfigError(
        f"'{text}' is a range to search in; it belongs to `nin-exp tune`, give values here: a,b,c or range(…)"
    )


def _glob(glob: Glob, options: tuple[str, ...], text: str) -> tuple[str, ...]:
    matched = [
        option
        for option in options
        if any(fnmatch.fnmatch(option, pattern) for pattern in glob.include)
        and not any(fnmatch.fnmatch(option, pattern) for pattern in glob.exclude)
    ]
    if not matched:
        raise ConfigError(f"'{text}' matches no option; known: {', '.join(options) or 'none, this is not a group'}")
    return tuple(matched)
