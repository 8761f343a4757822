"""What a user typed behind the verb: ``key=value``, ``group=option``, and sweeps in Hydra's syntax."""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from nin_exp.compose.groups import JOINED_GROUPS
from nin_exp.config import VOLATILE_KEYS, VOLATILE_TRAINER_KEYS
from nin_exp.errors import ConfigError, nearest

_MOST_VALUES = 10_000
_MOST_SEARCHED = 1_000_000
_SHORT_KEYS = {"evaluation": "evaluation.level"}


@dataclass(frozen=True)
class Interval:
    """A range of numbers to search in, both ends included; ``step`` is None where every number between may be tried."""

    low: float
    high: float
    is_int: bool
    is_log: bool
    step: float | None


@dataclass(frozen=True)
class Setting:
    """One override: a key or group with its value, or with the values of a sweep.

    Args:
        values: as Hydra writes them, so that each can stand in an override again.
        swept: whether the user asked for several values (also a sweep that holds only one).
        interval: of a search: what to search in; ``values`` are then its ends.
    """

    key: str
    values: tuple[str, ...]
    swept: bool
    interval: Interval | None = None
    text: str = ""

    def __str__(self) -> str:
        return self.text or f"{self.key}={','.join(self.values)}"


def parse_overrides(texts: Iterable[str], groups: dict[str, tuple[str, ...]], *, search: bool = False) -> list[Setting]:
    """Parse overrides; a later one for the same key replaces an earlier one.

    Args:
        search: whether ``interval(…)`` may stand for values, and ranges of numbers are searched rather than listed.

    Raises:
        ConfigError: with every override that cannot be read.
    """
    settings, problems = parse_each(texts, groups, search=search)
    if problems:
        raise ConfigError(*problems)
    return settings


def parse_each(
    texts: Iterable[str], groups: dict[str, tuple[str, ...]], *, search: bool = False
) -> tuple[list[Setting], list[str]]:
    """``parse_overrides``, returning what could be read and what is wrong with the others."""
    parser = OverridesParser.create()
    settings: dict[str, Setting] = {}
    problems = []
    for text in texts:
        try:
            override = _parse(text, parser, groups)
            setting = _to_setting(override, text, groups, search=search)
        except ConfigError as error:
            problems.append(str(error))
            continue
        settings.pop(setting.key, None)
        settings[setting.key] = setting
    return list(settings.values()), problems


def _parse(text: str, parser: OverridesParser, groups: dict[str, tuple[str, ...]]) -> Override:
    key, equals, value = text.partition("=")
    if text.startswith("~"):
        hint = "" if key[1:].partition(".")[0] in groups else nearest(key[1:], groups)
        raise ConfigError(f"'{text}' would delete a key, and every key is needed; set it to another value.{hint}")
    if not equals or not key.lstrip("+"):
        raise ConfigError(f"'{text}' must have the form key=value")
    if "@" in key:
        raise ConfigError(f"'{text}' puts an option in another place, and each has its own; write {key.split('@')[0]}=")
    try:
        return parser.parse_override(_quoted_conditions(text))
    except HydraException:
        pass
    try:  # what Hydra's grammar has no place for, such as `é` or `(1)` in a path, is plain text
        return parser.parse_override(f"{key}={QuotedString(value, Quote.single).with_quotes()}")
    except HydraException:
        raise ConfigError(f"'{key}' is not a key.{nearest(key, groups)}") from None


def _quoted_conditions(text: str) -> str:
    """``sweep.exclude=[[head=mlp,dataset=flowers]]``: Hydra's grammar has no = inside a list without quotes."""
    key, _, value = text.partition("=")
    if key.lstrip("+") != "sweep.exclude" or "'" in value or '"' in value:
        return text
    return f"{key}={re.sub(r'[^][,]*=[^][,]*', lambda part: repr(part.group().strip()), value)}"


def _to_setting(override: Override, text: str, groups: dict[str, tuple[str, ...]], *, search: bool) -> Setting:
    key = override.get_key_element().lstrip("+")
    key = _SHORT_KEYS.get(key, key)
    if key.split(".")[0] == "hydra":
        raise ConfigError(
            f"'{text}' sets Hydra itself, which only composes here; study= and runs_dir= say where runs go"
        )
    if override.is_sweep_override() and not _may_be_list(key):
        several = f"; several at once: {key}=[{text.partition('=')[2]}]" if key in JOINED_GROUPS else ""
        raise ConfigError(f"'{text}' must be one value, for it does not change what a job gives{several}")
    if not override.is_sweep_override():
        try:
            return Setting(key, (str(override.get_value_element_as_str()),), swept=False)
        except OmegaConfBaseException as error:
            raise ConfigError(f"'{text}' holds a sweep inside a value; a sweep stands alone: {key}=range(…)") from error
    value: object = override.value()
    if isinstance(value, Glob):
        options = _glob(value, groups.get(key, ()), text)
        return Setting(key, options, swept=True)
    if search and isinstance(value, IntervalSweep | RangeSweep):
        interval = _interval(value, text)
        ends = (_number(interval.low, interval), _number(interval.high, interval))
        return Setting(key, ends, swept=True, interval=interval, text=text)
    if isinstance(value, ChoiceSweep | RangeSweep):
        return Setting(key, _listed(override, text), swept=True)
    raise ConfigError(
        f"'{text}' is a range to search in; it belongs to `nin-exp tune`, give values here: a,b,c or range(…)"
    )


def _may_be_list(key: str) -> bool:
    part, _, name = key.partition(".")
    is_volatile = part in VOLATILE_KEYS or (part == "trainer" and name in VOLATILE_TRAINER_KEYS)
    return key in ("seeds", "sweep", "compare.by") or not is_volatile


def _listed(override: Override, text: str) -> tuple[str, ...]:
    try:
        values = tuple(itertools.islice(override.sweep_string_iterator(), _MOST_VALUES + 1))
    except (HydraException, ValueError, TypeError) as error:
        raise ConfigError(f"'{text}' cannot be expanded: {error}") from error
    if not values:
        raise ConfigError(f"'{text}' holds no value; give some")
    if len(values) > _MOST_VALUES:
        raise ConfigError(f"'{text}' must hold at most {_MOST_VALUES:,} values; take a larger step")
    return values


def _interval(sweep: IntervalSweep | RangeSweep, text: str) -> Interval:
    is_log = "log" in sweep.tags
    if isinstance(sweep, RangeSweep):
        values = list(itertools.islice(sweep.range(), _MOST_SEARCHED + 1))
        if len(values) not in range(1, _MOST_SEARCHED + 1):
            raise ConfigError(f"'{text}' must hold 1 to {_MOST_SEARCHED:,} values; search interval(a,b) for more")
        numbers = (values[0], values[-1])
        step: float | None = abs(sweep.step)
    else:
        if sweep.start is None or sweep.end is None:
            raise ConfigError(f"'{text}' must have two ends")
        numbers, step = (sweep.start, sweep.end), None
    low, high = min(numbers), max(numbers)
    if low == high or (is_log and low <= 0):
        raise ConfigError(f"'{text}' must have two different ends{', above 0 for tag(log, …)' if is_log else ''}")
    is_int = isinstance(low, int) and isinstance(high, int)
    if is_log and step not in (None, 1):
        raise ConfigError(f"'{text}' must have no step with tag(log, …); use int(interval({low:g},{high:g}))")
    return Interval(low, high, is_int, is_log, None if is_log else step)


def _number(value: float, interval: Interval) -> str:
    return str(int(value)) if interval.is_int else repr(float(value))


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
