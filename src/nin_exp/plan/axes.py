"""What a plan goes over: swept keys, some of them together, without the combinations that are left out."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nin_exp.compose.composer import Assignment, Composer
from nin_exp.compose.overrides import Setting
from nin_exp.errors import ConfigError, nearest

SEED_KEYS = ("seed", "seeds")
Point = tuple[Assignment, ...]


@dataclass(frozen=True)
class Axis:
    """One direction of a plan: a swept key, or several that advance together; each point sets all of its keys."""

    keys: tuple[str, ...]
    points: tuple[Point, ...]


def make_axes(settings: Iterable[Setting], zips: Sequence[Sequence[str]]) -> list[Axis]:
    """Axes of the swept settings, in their order; keys that are zipped make one axis.

    Raises:
        ConfigError: a value is listed twice; ``sweep.zip`` names a key without a list, a key twice, or lists of
            different lengths.
    """
    swept = {s.key: s for s in settings}
    together = {key: tuple(group) for group in zips for key in group}
    _check_zips(swept, zips)
    axes: dict[tuple[str, ...], Axis] = {}
    for key in swept:
        keys = together.get(key, (key,))
        if keys not in axes:
            columns = [[(k, value) for value in swept[k].values] for k in keys]
            axes[keys] = Axis(keys, tuple(zip(*columns, strict=True)))
            _refuse_repeated(axes[keys])
    return list(axes.values())


def _refuse_repeated(axis: Axis) -> None:
    point, count = Counter(axis.points).most_common(1)[0]
    if count > 1:
        values = ", ".join(value for _, value in point)
        raise ConfigError(f"{', '.join(axis.keys)} must list different values, got {values} twice; take one out")


def _check_zips(swept: dict[str, Setting], zips: Sequence[Sequence[str]]) -> None:
    seen: set[str] = set()
    for group in zips:
        for key in group:
            if key in SEED_KEYS:
                raise ConfigError(f"sweep.zip must not name {key}: seeds are the inner, paired loop; take it out")
            if key not in swept:
                lists = ", ".join(swept) or "none"
                raise ConfigError(
                    f"sweep.zip names {key}, which has no list (lists: {lists}).{nearest(key, swept)} List its values"
                )
            if key in seen:
                raise ConfigError(f"sweep.zip must name {key} once, got it twice; join its lists into one")
            seen.add(key)
        if len({len(swept[key].values) for key in group}) > 1:
            counts = ", ".join(f"{key} has {len(swept[key].values)}" for key in group)
            raise ConfigError(f"sweep.zip joins lists of one length, but {counts}; give each as many values")


def cross(axes: Sequence[Axis]) -> list[Point]:
    """Every combination of the axes' points; one empty point when there are no axes."""
    return [tuple(itertools.chain(*points)) for points in itertools.product(*(axis.points for axis in axes))]


class Exclusions:
    """The lists of ``sweep.exclude``; remembers which of them have left something out."""

    def __init__(self, lists: Sequence[Sequence[str]], composer: Composer) -> None:
        self._composer = composer
        self._lists = [[self._condition(text) for text in one] for one in lists]
        self._texts = [f"[{', '.join(one)}]" for one in lists]
        self._used = [False] * len(lists)
        if any(not one for one in self._lists):
            raise ConfigError("sweep.exclude must hold lists of key=value, got an empty list; take it out")

    def _condition(self, text: str) -> Assignment:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(f"sweep.exclude must hold lists of key=value, got '{text}'; write [[head=mlp,…]]")
        if key in SEED_KEYS:
            raise ConfigError(f"sweep.exclude must not name {key}: seeds are paired over the arms; take it out")
        return key, value.strip()

    def leaves_out(self, assignments: Sequence[Assignment]) -> bool:
        """Whether a job with these settings fits all of one list."""
        found = [i for i, one in enumerate(self._lists) if self._fits(one, assignments)]
        for index in found:
            self._used[index] = True
        return bool(found)

    @property
    def unused(self) -> list[str]:
        """The lists that fitted no job."""
        return [text for text, used in zip(self._texts, self._used, strict=True) if not used]

    def _fits(self, conditions: Sequence[Assignment], assignments: Sequence[Assignment]) -> bool:
        given = dict(assignments)
        typed = [(k, v) for k, v in conditions if k in given]
        # First what was typed: a combination that cannot even be composed may be left out as well.
        if not all(self._composer.value((k, v)) == self._composer.value((k, given[k])) for k, v in typed):
            return False
        others = [(k, v) for k, v in conditions if k not in given]
        if not others:
            return True
        config = self._composer.resolve(assignments)
        return all(self._composer.value((k, v)) == _look_up(config, k, self._composer.groups) for k, v in others)


def _look_up(config: dict[str, Any], key: str, groups: dict[str, tuple[str, ...]]) -> Any:
    if key in groups:
        return config["choices"].get(key)
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            raise ConfigError(f"sweep.exclude names {key}, which is unknown.{nearest(key, [*groups, *config])}")
        node = node[part]
    return node


def unpaired_notes(
    arms: Sequence[str], blocks: Sequence[str], baseline: str, has: Callable[[str, str], bool]
) -> tuple[str, ...]:
    """Sentences on what exclusions take from a comparison: contrasts that will not exist."""
    notes = []
    for block in blocks:
        missing = [arm for arm in arms if not has(arm, block)]
        if baseline in missing:
            notes.append(f"sweep.exclude leaves out the baseline {baseline} on {block}: nothing is paired there")
        elif missing:
            notes.append(f"sweep.exclude leaves out {', '.join(missing)} on {block}: no contrast there")
    return tuple(notes)
