"""A study as it lies on disk: its plan, and of each planned job the record, learning curve and configuration.

Reads run directories only. Whatever is damaged or missing becomes a run with a problem, never an exception:
a report is wanted most when something went wrong.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from nin_exp.errors import ConfigError, IntegrityError
from nin_exp.records.cache import Found, read_records
from nin_exp.records.record import Record
from nin_exp.records.search import Search
from nin_exp.records.study import PlannedJob, Study

State = Literal["done", "failed", "diverged", "pruned", "unfinished", "not_started", "unreadable"]
METRICS_FILE = "metrics.csv"
CONFIG_FILE = "config.yaml"
LARGEST_CONFIG_BYTES = 1_000_000
MOST_CONFIG_KEYS = 2000
_SEED_LINE = re.compile(rb"^((?:split_|init_|order_|augment_)?seed): ([1-9]\d{0,18}|0)$", re.MULTILINE)


@dataclass(frozen=True)
class Curve:
    """Metrics over the epochs: ``epochs`` and each of ``values`` of shape ``(E,)``, NaN for gaps."""

    epochs: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Run:
    """One planned job and what became of it.

    Args:
        state: ``unfinished``: the run directory exists, without a record (running, or killed);
            ``unreadable``: there is a record, but it is damaged.
        problem: what went wrong, None for a run that is done or has yet to finish.
        config: the resolved configuration with dotted keys and values as text, read when first asked for; empty when
            unknown.
        curve: the learning curve, read when first asked for; None when there is none.
    """

    job: PlannedJob
    study_dir: Path
    state: State
    record: Record | None = None
    problem: str | None = None

    @cached_property
    def run_dir(self) -> Path:
        """Made when first asked for: of a hundred thousand runs few are opened again."""
        return self.study_dir / self.job.job_id

    @property
    def folder(self) -> str:
        """``run_dir`` as text."""
        return f"{self.study_dir}/{self.job.job_id}"

    @cached_property
    def config(self) -> dict[str, str]:
        return {} if self.state == "not_started" else read_config(self.run_dir / CONFIG_FILE)

    @cached_property
    def curve(self) -> Curve | None:
        return None if self.state == "not_started" else read_curve(self.run_dir / METRICS_FILE)

    def score(self, metric: str) -> float | None:
        """A metric of the record; None when it is missing or not finite."""
        return number(self.record.metrics.get(metric)) if self.record is not None else None


@dataclass(frozen=True)
class StudyResults:
    """A study's plan and its runs, in the order of the plan; ``search`` says what a search was about."""

    study: Study
    runs: tuple[Run, ...]
    search: Search | None = None


def load_study(study_dir: Path) -> StudyResults:
    """Read a study's folder.

    Raises:
        ConfigError: there is no study in the folder.
        IntegrityError: ``study.json`` is damaged, or names a job outside of the folder.
    """
    try:
        study = Study.read(study_dir)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"a study's folder must hold study.json, got '{study_dir}'; give a folder such as runs/<study>"
        ) from error
    for job in study.jobs:
        _refuse_path(job)
    records = read_records(study_dir, [job.job_id for job in study.jobs])
    runs = tuple(_run(study_dir, job, records.get(job.job_id)) for job in study.jobs)
    return StudyResults(study, runs, _read_search(study_dir))


def _read_search(study_dir: Path) -> Search | None:
    try:
        return Search.read(study_dir)
    except (FileNotFoundError, IntegrityError):  # without it the runs still say what they gave
        return None


def load_run(study_dir: Path, job: PlannedJob) -> Run:
    """Read one run directory; see ``Run.state`` for what is missing or damaged.

    Raises:
        IntegrityError: the job's id is no plain folder name.
    """
    _refuse_path(job)
    return _run(study_dir, job, read_records(study_dir, [job.job_id]).get(job.job_id))


def _refuse_path(job: PlannedJob) -> None:
    if job.job_id in ("", ".", "..") or not _FOLDER_CHARACTERS.isdisjoint(job.job_id):
        raise IntegrityError(f"job_id in study.json must be a plain folder name, got '{job.job_id}'")


def _run(study_dir: Path, job: PlannedJob, found: Found | None) -> Run:
    if found is None or (found.record is None and found.problem is None):
        return Run(job, study_dir, "unfinished" if (study_dir / job.job_id).is_dir() else "not_started")
    if found.record is None:
        return Run(job, study_dir, "unreadable", problem=found.problem)
    record = found.record
    fault = _fault(record)
    if fault is not None:
        return Run(job, study_dir, "unreadable", problem=fault)
    return Run(job, study_dir, record.status, record, record.error)


_KINDS: dict[str, type | tuple[type, ...]] = {
    "dataset": str,
    "head": str,
    "metrics": dict,
    "git": dict,
    "versions": dict,
    "data": dict,
    "seeds": dict,
    "device": str,
    "command": str,
    "code_hash": str,
    "error": (str, type(None)),
    "wall_seconds": (int, float, type(None)),
}
_CHECKED = attrgetter(*_KINDS)
_GOOD: set[tuple[type, ...]] = set()
"""Types of the fields above that were found right: there are few."""

_FOLDER_CHARACTERS = frozenset("/\\\0")


def _fault(record: Record) -> str | None:
    """What in a record is not as its schema says; it may have been edited or made by something else."""
    values = _CHECKED(record)
    kinds = tuple(map(type, values))
    if kinds not in _GOOD:
        for (name, kind), value in zip(_KINDS.items(), values, strict=True):
            if not isinstance(value, kind):
                return f"record.json: {name} has the wrong type; run the job again"
        _GOOD.add(kinds)
    if not all(isinstance(flag, str) for flag in record.flags):
        return "record.json: flags must be strings; run the job again"
    if not all(isinstance(seed, int) for seed in record.seeds.values()):
        return "record.json: seeds must be integers; run the job again"
    if record.status not in ("done", "failed", "diverged", "pruned"):
        return f"record.json: status must be done, failed, diverged or pruned, got '{record.status}'; run the job again"
    return None


def read_curve(path: Path) -> Curve | None:
    """Read ``metrics.csv``; None when there is no complete row.

    A row that was cut short by a kill is left out, and of two rows of one epoch the later one counts.
    """
    try:
        with path.open(encoding="utf-8", newline="", errors="replace") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows = [row for row in reader if len(row) == len(header)]
    except (OSError, csv.Error):
        return None
    if "epoch" not in header:
        return None
    position = header.index("epoch")
    by_epoch = {int(epoch): row for row in rows if (epoch := _to_float(row[position])) == epoch}
    if not by_epoch:
        return None
    epochs = sorted(by_epoch)
    columns = {
        name: np.array([_to_float(by_epoch[epoch][i]) for epoch in epochs])
        for i, name in enumerate(header)
        if i != position
    }
    return Curve(np.array(epochs), columns)


def read_config(path: Path) -> dict[str, str]:
    """Read a resolved configuration as dotted keys; empty when missing, damaged or out of all measure."""
    try:
        if path.stat().st_size > LARGEST_CONFIG_BYTES:
            return {}
        text = path.read_bytes()
        # The configurations of a plan differ by little more than their seeds: each of the others is parsed once.
        seeds = {m[1].decode(): m[2].decode() for m in _SEED_LINE.finditer(text)}
        flat = _parse_config(_SEED_LINE.sub(rb"\1: 0", text))
    except (OSError, yaml.YAMLError, RecursionError, ValueError):
        return {}
    return {**flat, **{key: seed for key, seed in seeds.items() if key in flat}}


@lru_cache(maxsize=512)
def _parse_config(text: bytes) -> dict[str, str]:
    # The C loader is ten times as fast, where it was built.
    tree = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    flat: dict[str, str] = {}
    for key, value in _leaves("", tree):
        if len(flat) >= MOST_CONFIG_KEYS:  # aliases can make a small file endless
            return {}
        flat[key] = value
    return flat


def _leaves(prefix: str, node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else str(key), value)
    elif isinstance(node, list) and any(isinstance(item, (dict, list)) for item in node):
        for index, item in enumerate(node):
            yield from _leaves(f"{prefix}[{index}]", item)
    elif prefix:
        yield prefix, "null" if node is None else str(node).lower() if isinstance(node, bool) else str(node)


def number(value: object) -> float | None:
    """Return a finite number as float; None for anything else: records hold null where a metric was NaN."""
    if value.__class__ is float:  # nearly all are, and there are many
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _to_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
