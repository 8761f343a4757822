"""``nin-exp data``: list, prepare, check and split data sets, and what is kept beside them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nin_exp.cli.flags import Parser, add_config_flags, composer_for, make_parser
from nin_exp.errors import ConfigError, DataError, nearest

_ACTIONS = ("list", "prepare", "check", "split", "cache")
_SPLIT_FLAGS = ("rate", "fractions", "seed")
_DESCRIPTION = """List, prepare, check and split data sets, and clear what is kept beside them.

  list                 which data sets there are, and where each would be read from
  prepare NAME ...     fetch data sets into the data folder, as one file each
  check NAME ...       say what is wrong with them: duplicates, empty classes, imbalance, unreadable files
  split SOURCE DEST    copy class folders into train, val (and test) below DEST; SOURCE is only read
  cache                the decoded images and whitenings that runs keep in the data folder; --clear removes them"""
_EPILOG = """examples:
  nin-exp data prepare mnist cifar10
  nin-exp data check imagefolder dataset.source=my_photos dataset.image_size=64
  nin-exp data split flower_photos flowers_split --rate 0.1 --seed 0
  nin-exp data cache --clear"""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; ``check`` exits with 3 when it finds an error."""
    parser: Parser = make_parser("data", _DESCRIPTION, _EPILOG)
    parser.add_argument("action", metavar="|".join(_ACTIONS))
    parser.add_argument("--rate", metavar="R", help="split: the part of each class for val (0.1)")
    parser.add_argument("--fractions", metavar="T,V[,E]", help="split: the parts for train, val and test")
    parser.add_argument("--seed", metavar="N", help="split: of the draw, or 'random' (0)")
    parser.add_argument("--clear", action="store_true", help="cache: remove all that no process is using")
    add_config_flags(parser)
    args = parser.parse(arguments)
    if args.action not in _ACTIONS:
        raise ConfigError(f"'{args.action}' is not something `nin-exp data` does.{nearest(args.action, _ACTIONS)}")
    if args.clear and args.action != "cache":
        raise ConfigError(f"--clear belongs to `nin-exp data cache`, not to `data {args.action}`; leave it out")
    if args.action == "split":
        return _split(args)
    for flag in _SPLIT_FLAGS:
        if getattr(args, flag) is not None:
            raise ConfigError(f"--{flag} belongs to `nin-exp data split`, not to `data {args.action}`; leave it out")
    composer = composer_for(args)
    names = [word for word in args.overrides if "=" not in word]
    overrides = [word for word in args.overrides if "=" in word]
    if args.action in ("list", "cache") and names:
        raise ConfigError(f"data {args.action} takes no name, got '{names[0]}'; leave it out")
    if args.action == "list":
        return _list(composer, overrides, as_json=args.json)
    if args.action == "cache":
        return _cache(composer, overrides, clears=args.clear, as_json=args.json)
    if not names:
        raise ConfigError(f"data {args.action} needs a data set's name, such as mnist; `nin-exp data list` lists them")
    sources = {name: _source(composer, name, overrides) for name in names}
    action = _prepare if args.action == "prepare" else _check
    return action(sources, as_json=args.json)


def _compose(composer: Any, words: list[str]) -> Any:
    settings = composer.settings(words)
    swept = [str(s) for s in settings if s.swept]
    if swept:
        raise ConfigError(f"data takes one value a key, got the list {swept[0]}; give one value")
    return composer.compose([(s.key, s.values[0]) for s in settings])


def _data_dir(config: Any) -> Path:
    from nin_exp.data.folder import resolve_data_dir

    return resolve_data_dir(config.data_dir)


def _source(composer: Any, name: str, overrides: list[str]) -> tuple[Any, Path]:
    """A data source and the data folder, as composed."""
    from nin_exp.build import build_dataset

    config = _compose(composer, [f"dataset={name}", *overrides])
    return build_dataset(config, composer.allowed_packages), _data_dir(config)


def _list(composer: Any, overrides: list[str], *, as_json: bool) -> int:
    from nin_exp.data.catalog import catalog

    data_dir = _data_dir(_compose(composer, overrides))  # first: what was typed wrong is said, once
    sources, own = {}, []
    for name in composer.groups["dataset"]:
        try:
            sources[name], _ = _source(composer, name, overrides)
        except ConfigError:
            own.append(name)  # takes dataset.source: there is nothing to look for
    entries = catalog(sources, data_dir)
    if as_json:
        rows = [{**asdict(entry), "prepared": entry.is_prepared} for entry in entries]
        print(json.dumps({"data_dir": data_dir, "sets": rows, "own": own}, indent=1, default=str))
        return 0
    print(f"data folder: {data_dir}")
    width = max(map(len, composer.groups["dataset"]))
    for entry in entries:
        print(f"  {entry.name:<{width}}  {_whereabouts(entry)}")
    for name in own:
        print(f"  {name:<{width}}  your own images: dataset={name} dataset.source=PATH")
    return 0


def _whereabouts(entry: Any) -> str:
    location = entry.location
    if entry.problem is not None or location is None:
        return f"cannot be read: {entry.problem}"
    if location.origin == "embedded":
        where = "embedded"
    elif not location.is_here:
        return f"not here yet; `nin-exp data prepare {entry.name}` fetches it"
    else:
        where = f"{location.path}"
    shape = "" if location.shape is None else "  " + "x".join(map(str, location.shape))
    counts = "" if location.num_train is None else f"  {location.num_train:,} + {location.num_test or 0:,} images"
    return f"{where}{counts}{shape}"


def _prepare(sources: dict[str, tuple[Any, Path]], *, as_json: bool) -> int:
    from nin_exp.data.store import store

    done = {}
    for name, (source, data_dir) in sources.items():
        try:
            done[name] = str(store(source, data_dir))
        except ConfigError as error:  # embedded, or a user's own: nothing to do is no failure
            done[name] = str(error)
    print(json.dumps(done, indent=1) if as_json else "\n".join(f"{name}: {text}" for name, text in done.items()))
    return 0


def _check(sources: dict[str, tuple[Any, Path]], *, as_json: bool) -> int:
    from nin_exp.data.checks import check_source

    found = {name: check_source(source, data_dir) for name, (source, data_dir) in sources.items()}
    if as_json:
        print(json.dumps({name: [asdict(f) for f in findings] for name, findings in found.items()}, indent=1))
    else:
        for name, findings in found.items():
            print(f"{name}: {'nothing wrong' if not findings else ''}".rstrip())
            for finding in findings:
                print(f"  {finding.severity:<8} {finding.message}")
    has_errors = any(f.severity == "error" for findings in found.values() for f in findings)
    return DataError.exit_code if has_errors else 0


def _cache(composer: Any, overrides: list[str], *, clears: bool, as_json: bool) -> int:
    from nin_exp.data.kept import clear, kept

    data_dir = _data_dir(_compose(composer, overrides))
    removed, left = clear(data_dir) if clears else ([], kept(data_dir))
    if as_json:
        rows = {"removed": removed, "kept": left}
        print(json.dumps({"data_dir": data_dir, **rows}, indent=1, default=_plain))
        return 0
    print(f"data folder: {data_dir}")
    for word, entries in (("removed", removed), ("kept", left)):
        for entry in entries:
            size, day = f"{entry.num_bytes / 1e6:>9,.1f} MB", f"{datetime.fromtimestamp(entry.written_at):%Y-%m-%d}"
            print(f"  {word:<7} {size}  {day}  {entry.kind}: {entry.about}")
    total = sum(entry.num_bytes for entry in removed or left) / 1e6
    verb = "removed" if removed else "kept"
    in_use = f"; {len(left)} in use by another process" if clears and left else ""
    remedy = "; --clear removes them, and runs make them anew" if left and not clears else ""
    print(f"{total:,.1f} MB {verb}{in_use}{remedy}")
    return 0


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def _split(args: Any) -> int:
    from nin_exp.data.split_folders import split_folders

    if len(args.overrides) != 2:
        raise ConfigError(f"data split takes SOURCE and DEST, got {len(args.overrides)} words; give two folders")
    source, dest = map(Path, args.overrides)
    done = split_folders(source, dest, _fractions(args.rate, args.fractions), _seed(args.seed))
    if args.json:
        print(json.dumps({**asdict(done), "source": str(done.source), "dest": str(done.dest)}, indent=1))
        return 0
    parts = list(done.fractions)
    width = max(len("all"), *map(len, done.counts))
    print(f"{done.source} -> {done.dest}, seed {done.seed}")
    print(f"  {'':<{width}}" + "".join(f"{part:>8}" for part in parts))
    totals = {part: sum(counts[part] for counts in done.counts.values()) for part in parts}
    for name, counts in [*done.counts.items(), ("all", totals)]:
        print(f"  {name:<{width}}" + "".join(f"{counts[part]:>8,}" for part in parts))
    if done.num_ignored:
        print(f"  {done.num_ignored} files are no images and were not copied")
    return 0


def _fractions(rate: str | None, fractions: str | None) -> dict[str, float]:
    """The parts that the flags ask for."""
    if rate is not None and fractions is not None:
        raise ConfigError("--rate and --fractions say the same; give one of them")
    if fractions is None:
        value = _number("--rate", rate or "0.1")
        if not 0 < value < 1:
            raise ConfigError(f"--rate must lie in (0, 1), got {value:g}")
        return {"train": 1 - value, "val": value}
    values = [_number("--fractions", text) for text in fractions.split(",")]
    if len(values) not in (2, 3) or min(values) <= 0 or abs(sum(values) - 1) > 1e-6:
        raise ConfigError(
            f"--fractions must be 2 or 3 numbers above 0 with the sum 1, got {fractions}; such as 0.8,0.2"
        )
    return dict(zip(("train", "val", "test"), values, strict=False))


def _number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"{flag} must be a number, got '{text}'; such as 0.1") from error


def _seed(text: str | None) -> int:
    if text == "random":
        return secrets.randbelow(1 << 32)
    if text is not None and not (text.isascii() and text.isdigit()):
        raise ConfigError(f"--seed must be a whole number from 0, or random, got '{text}'")
    return int(text or 0)
