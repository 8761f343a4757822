"""The space of a search: Hydra's sweep syntax as Optuna's distributions, and a trial's values as settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nin_exp.compose.composer import Assignment
from nin_exp.compose.overrides import Interval, Setting
from nin_exp.errors import ConfigError

_MOST_GRID_POINTS = 100_000


@dataclass(frozen=True)
class Space:
    """What is searched; each setting is a list of choices or an interval."""

    settings: tuple[Setting, ...]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of each key; choices are kept as typed."""
        return {setting.key: _distribution(setting) for setting in self.settings}

    def assignments(self, params: Mapping[str, Any]) -> list[Assignment]:
        """A trial's values as settings."""
        return [(s.key, _text(params[s.key], s.interval)) for s in self.settings]

    def probes(self) -> list[list[Assignment]]:
        """Points that touch every choice and both ends of every interval, for checking before anything runs."""
        first = [(s.key, s.values[0]) for s in self.settings]
        others = [(i, s.key, value) for i, s in enumerate(self.settings) for value in s.values[1:]]
        return [first, *([*first[:i], (key, value), *first[i + 1 :]] for i, key, value in others)]

    def grid(self) -> dict[str, list[Any]]:
        """The values of each key.

        Raises:
            ConfigError: an interval has no steps, or there are too many points.
        """
        values = {s.key: _steps(s) for s in self.settings}
        if num_points(values) > _MOST_GRID_POINTS:
            raise ConfigError(
                f"tune.sampler=grid must have at most {_MOST_GRID_POINTS:,} points; use tune.sampler=random"
            )
        return values


def num_points(grid: Mapping[str, Sequence[Any]]) -> int:
    """How many combinations a grid has."""
    count = 1
    for values in grid.values():
        count *= len(values)
    return count


def _distribution(setting: Setting) -> BaseDistribution:
    interval = setting.interval
    if interval is None:
        return CategoricalDistribution(setting.values)
    if interval.is_int:
        step = 1 if interval.step is None else int(interval.step)
        return IntDistribution(int(interval.low), int(interval.high), log=interval.is_log, step=step)
    return FloatDistribution(interval.low, interval.high, log=interval.is_log, step=interval.step)


def _text(value: Any, interval: Interval | None) -> str:
    return str(value) if interval is None or interval.is_int else repr(float(value))


def _steps(setting: Setting) -> list[Any]:
    interval = setting.interval
    if interval is None:
        return list(setting.values)
    step = 1 if interval.is_int and interval.step is None else interval.step
    if step is None or interval.is_log:
        raise ConfigError(
            f"tune.sampler=grid needs listed values, and {setting} is an interval; give choice(…) or range(…), "
            "or use another tune.sampler"
        )
    count = int((interval.high - interval.low) / step + 1e-9) + 1
    return [interval.low + i * step for i in range(count)]
