"""What a shell asks while a line is being typed. Reads the verbs' parsers and YAML files: no Hydra, no torch."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from nin_exp.cli.flags import Parser, parser_of
from nin_exp.compose.groups import PRESET_GROUPS, list_groups, resolve_config_dirs
from nin_exp.errors import ConfigError

_STUDIES = ("STUDY", "study")
_RUNS = ("RUN", "run", "A", "B")
_PATHS = ("PATH", "DIR", "FILE", "IMAGE|FOLDER|-")
_DATA_KEYS = ("dataset", "data_dir")


def run(arguments: Sequence[str]) -> int:
    """Print a candidate a line for the line typed so far; exit code 0 whatever it is."""
    for candidate in candidates(arguments[0] if arguments else ""):
        print(candidate)
    return 0


def candidates(line: str) -> list[str]:
    """Completions of the last word of a command line; what stands before ``nin-exp`` (``time``, ``and``) is nothing.

    >>> candidates("nin-exp com")
    ['compare', 'completion']
    """
    from nin_exp.cli.main import VERBS

    words = _split(line)
    word = "" if not line or line[-1].isspace() else words.pop()
    words = words[next((i for i, w in enumerate(words) if w.rpartition("/")[2] == "nin-exp"), 0) :]
    if len(words) <= 1:
        offers: Iterable[str] = VERBS
    elif words[1] in VERBS:
        offers = _Line(words[1], words[2:]).offers(word)
    else:
        offers = ()
    return sorted({offer for offer in offers if offer.startswith(word)})


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # an open quote
        return line.split()


class _Line:
    """A verb and the whole words behind it."""

    def __init__(self, verb: str, words: list[str]) -> None:
        self._verb, self._words = verb, words
        self._parser: Parser = parser_of(verb)
        shown = [a for a in self._parser.arguments if a.help != argparse.SUPPRESS]
        self._flags = {name: action for action in shown for name in action.option_strings}
        self._positionals = [action for action in shown if not action.option_strings]

    def offers(self, word: str) -> Iterable[str]:
        """What the next word may be; those that do not start as ``word`` does are left to the caller."""
        flag, equals, value = word.partition("=")
        if word.startswith("-"):
            if equals and flag in self._flags:
                return [f"{flag}={offer}" for offer in self._values(self._flags[flag], value)]
            return [name for name in self._flags if name.startswith("--")]
        place = self._place()
        return [] if place is None else self._values(place, word)

    def _place(self) -> argparse.Action | None:
        """What the next word is for: a flag that waits for its value, or the next positional argument."""
        waiting: argparse.Action | None = None
        taken = 0
        for word in self._words:
            if word.startswith("-"):
                action = self._flags.get(word)
                waiting = action if action is not None and action.nargs in (None, "+") else None
            elif waiting is None:
                taken += 1
            elif waiting.nargs is None:
                waiting = None
        if waiting is not None or not self._positionals:
            return waiting
        last = self._positionals[-1]
        return (
            last
            if taken >= len(self._positionals) and last.nargs in ("*", "+")
            else next(iter(self._positionals[taken:]), None)
        )

    def _values(self, action: argparse.Action, word: str) -> Iterable[str]:
        kind = str(action.metavar or action.dest)
        if action.choices is not None:
            return map(str, action.choices)
        if kind == "key=value":
            return self._settings(word)
        if kind in _STUDIES:
            return [*_studies(self._runs_dir()), *_paths(word)]
        if kind in _RUNS:
            return [*_runs(self._runs_dir(), word), *_paths(word)]
        if kind in _PATHS:
            return _paths(word)
        return kind.split("|") if "|" in kind else ()

    def _runs_dir(self) -> Path:
        return Path(self._value_of("--runs-dir") or "runs").expanduser()

    def _value_of(self, flag: str) -> str | None:
        pairs = zip(self._words, self._words[1:], strict=False)
        return next((value for name, value in pairs if name == flag), None)

    def _settings(self, word: str) -> Iterable[str]:
        try:
            roots = resolve_config_dirs(self._value_of("--config-dir"))
        except ConfigError:
            roots = resolve_config_dirs(None)
        groups = list_groups(roots)
        plus = word[: len(word) - len(word.lstrip("+"))]
        key, equals, value = word[len(plus) :].partition("=")
        if equals:
            done = value[: value.rfind(",") + 1]
            return [f"{plus}{key}={done}{option}" for option in groups.get(key, ())]
        chosen = dict(w.lstrip("+").split("=", 1) for w in self._words if "=" in w)
        names = {*groups, *_keys(roots, groups, chosen)}
        if self._verb not in ("evaluate", "data"):
            return [f"{plus}{name}=" for name in names]
        if "split" in self._words:
            return _paths(word)
        own = groups["dataset"] if self._verb == "data" else ()
        return [*own, *(f"{name}=" for name in names if name.split(".")[0] in _DATA_KEYS)]


def _studies(runs_dir: Path) -> list[str]:
    return [path.parent.name for path in runs_dir.glob("*/study.json")]


def _runs(runs_dir: Path, word: str) -> list[str]:
    """Job ids that start so; without a start there are too many to be of use."""
    found = runs_dir.glob("*/*/record.json") if word else ()
    return [path.parent.name for path in found if path.parent.name.startswith(word)]


def _paths(word: str) -> list[str]:
    """Files and folders that start so; hidden ones only when asked for."""
    folder, slash, start = word.rpartition("/")
    root = Path(f"{folder}/" if slash else ".").expanduser()
    try:
        children = sorted(root.iterdir())
    except OSError:
        return []
    shown = [c for c in children if c.name.startswith(start) and (start or not c.name.startswith("."))]
    return [f"{folder}{slash}{child.name}{'/' if child.is_dir() else ''}" for child in shown]


def _keys(roots: tuple[Path, ...], groups: Mapping[str, tuple[str, ...]], chosen: Mapping[str, str]) -> Iterator[str]:
    """Keys of the root file and of the chosen (or default) option of each group."""
    top = yaml.safe_load((roots[0] / "config.yaml").read_text(encoding="utf-8"))
    defaults = {k: v for entry in top.pop("defaults") if isinstance(entry, dict) for k, v in entry.items()}
    yield from _flatten(top)
    for group in groups:
        if group in PRESET_GROUPS:  # their keys are those of the root file
            continue
        for name in str(chosen.get(group, defaults.get(group))).split(","):
            for path in (root / group / f"{name}.yaml" for root in roots):
                if path.is_file():
                    yield from _flatten(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, f"{group}.")


def _flatten(values: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if name in ("_target_", "_partial_", "defaults"):
            continue
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
