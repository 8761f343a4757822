"""A study's records in one file, so that a study of many runs is read at once.

The run directories are the truth: an entry counts only while its record has the time and size it was read with, and
the file can be deleted at any time. Values that records share (versions, data, git) are kept once, on disk and in
memory.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any

from nin_exp.errors import IntegrityError, StorageError
from nin_exp.records.files import write_text
from nin_exp.records.record import RECORD_FILE, SCHEMA_VERSION, Record

CACHE_FILE = ".index.json"
CACHE_SCHEMA_VERSION = 1
FEWEST_RUNS = 200
"""Smaller studies are read as fast without."""

FIELDS = tuple(field.name for field in fields(Record))
Stamp = tuple[int, int]
"""Time of the last change in nanoseconds, and size."""


@dataclass(frozen=True)
class Found:
    """A run directory's record; None with a problem where it is damaged, without one where the run has not finished."""

    record: Record | None
    problem: str | None = None


def read_records(study_dir: Path, names: Iterable[str]) -> dict[str, Found]:
    """The records of a study's run directories, by the directory's name; those without a record are left out.

    Reads the cache for what has not changed, and writes it anew when much has.
    """
    with _uncollected():
        return _read_records(study_dir, names)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave the garbage alone: looking for it among a hundred thousand records takes longer than reading them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_records(study_dir: Path, names: Iterable[str]) -> dict[str, Found]:
    stamps = {name: stamp for name in names if (stamp := _stamp(f"{study_dir}/{name}/{RECORD_FILE}")) is not None}
    known = _read_cache(study_dir) if len(stamps) >= FEWEST_RUNS else {}
    shared = _Shared()
    found: dict[str, Found] = {}
    entries: dict[str, tuple[Stamp, Record]] = {}
    num_read = 0
    for name, stamp in stamps.items():
        entry = known.get(name)
        if entry is None or entry[0] != stamp:
            num_read += 1
            found[name] = _read(f"{study_dir}/{name}", shared)
            record = found[name].record
            entry = None if record is None else (stamp, record)
        else:
            found[name] = Found(entry[1])
        if entry is not None:
            entries[name] = entry
    if len(stamps) >= FEWEST_RUNS and num_read > len(stamps) // 10:
        _write_cache(study_dir, entries)
    return found


def _stamp(path: str) -> Stamp | None:
    try:
        status = os.stat(path)  # noqa: PTH116 (a Path for each of 100,000 runs takes longer than the call)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _read(run_dir: str, shared: _Shared) -> Found:
    try:
        record = _read_whole(f"{run_dir}/{RECORD_FILE}") or Record.read(Path(run_dir))
    except FileNotFoundError:
        return Found(None)
    except (IntegrityError, OSError, UnicodeDecodeError) as error:
        return Found(None, str(error))
    values = record.__dict__
    for name in _SHARED_FIELDS:
        values[name] = shared(values[name])
    return Found(record)


def _read_whole(path: str) -> Record | None:
    """A record of this version, as nearly all are, without a constructor's checks; None for others."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (as in _stamp)
            values = json.loads(file.read())
    except ValueError:
        return None
    if not isinstance(values, dict) or values.get("schema_version") != SCHEMA_VERSION:
        return None
    if not _REQUIRED <= values.keys() <= _KNOWN or not isinstance(values.get("flags", []), list):
        return None
    values["flags"] = tuple(values.get("flags", ()))
    for field in _OPTIONAL:
        if field.name not in values:
            values[field.name] = field.default if field.default_factory is MISSING else field.default_factory()
    record = object.__new__(Record)
    record.__dict__.update(values)
    return record


_KNOWN = frozenset(FIELDS)
_OPTIONAL = tuple(f for f in fields(Record) if f.default is not MISSING or f.default_factory is not MISSING)
_REQUIRED = _KNOWN - {field.name for field in _OPTIONAL}
_SHARED_FIELDS = ("git", "versions", "data", "seeds", "command", "started_at", "dataset", "arm", "block", "device")


class _Shared:
    """Gives the first of equal values, so that a hundred thousand runs hold one."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def __call__(self, value: Any) -> Any:
        return self._known.setdefault(value if isinstance(value, str) else repr(value), value)


def _read_cache(study_dir: Path) -> dict[str, tuple[Stamp, Record]]:
    """Entries by run; empty when there is no cache, or one that this version does not write."""
    try:
        content = json.loads((study_dir / CACHE_FILE).read_bytes())
        if (content["schema"], content["record_schema"]) != (CACHE_SCHEMA_VERSION, SCHEMA_VERSION):
            return {}
        encoded = content["columns"]
        encoded["flags"] = {k: [tuple(f) if k != "index" else f for f in v] for k, v in encoded["flags"].items()}
        columns = {name: _decoded(encoded[name]) for name in (*FIELDS, "metric_names")}
        values = columns["metrics"]
        columns["metrics"] = [
            dict(zip(n, v, strict=True)) for n, v in zip(columns["metric_names"], values, strict=True)
        ]
        rows = zip(*(columns[name] for name in FIELDS), strict=True)
        stamps = zip(*content["stamps"], strict=True)
        return {
            name: (stamp, _make_record(row)) for name, stamp, row in zip(content["names"], stamps, rows, strict=True)
        }
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return {}


def _make_record(row: tuple[Any, ...]) -> Record:
    # The fields were a record's when they were written: its constructor would take most of the time.
    record = object.__new__(Record)
    record.__dict__.update(zip(FIELDS, row, strict=True))
    return record


def _write_cache(study_dir: Path, entries: dict[str, tuple[Stamp, Record]]) -> None:
    records = [record.__dict__ for _, record in entries.values()]
    columns: dict[str, Any] = {name: _encoded([r[name] for r in records]) for name in FIELDS if name != "metrics"}
    columns["metric_names"] = _encoded([tuple(r["metrics"]) for r in records])
    columns["metrics"] = {"values": [list(r["metrics"].values()) for r in records]}
    content = {
        "schema": CACHE_SCHEMA_VERSION,
        "record_schema": SCHEMA_VERSION,
        "names": list(entries),
        "stamps": [[stamp[part] for stamp, _ in entries.values()] for part in (0, 1)],
        "columns": columns,
    }
    try:
        write_text(study_dir / CACHE_FILE, json.dumps(content, separators=(",", ":")))
    except (StorageError, ValueError, TypeError):
        return  # the folder of somebody else, or a full disk: the next report reads the run directories again


def _encoded(values: list[Any]) -> dict[str, list[Any]]:
    """A column: each different value once with its places, or as it is where most values differ."""
    kinds = set(map(type, values)) - {NoneType}
    keys: list[Any] = values
    if not kinds <= _HASHABLE:
        texts: dict[int, str] = {}  # values are alive in the records: their ids stay theirs
        keys = [texts.get(id(value)) or texts.setdefault(id(value), repr(value)) for value in values]
    elif len(kinds) > 1:  # 1 and True are equal, and not the same
        keys = [(value.__class__, value) for value in values]
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    if len(places) > len(values) // 2:
        return {"values": values}
    first = dict(zip(reversed(keys), reversed(values), strict=True))
    return {"shared": [first[key] for key in places], "index": list(map(places.__getitem__, keys))}


_HASHABLE = {str, int, float, bool, tuple}


def _decoded(column: dict[str, list[Any]]) -> list[Any]:
    if "values" in column:
        return column["values"]
    shared = column["shared"]
    return [shared[place] for place in column["index"]]
