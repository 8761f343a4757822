"""The plan of a study, as ``study.json`` holds it: which jobs belong to it, and what it compares."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nin_exp.errors import IntegrityError, StorageError
from nin_exp.records.files import write_json

STUDY_FILE = "study.json"
STUDY_SCHEMA_VERSION = 1
_LOCK_FILE = ".study.lock"
_PATIENCE_SECONDS = 60


@contextlib.contextmanager
def locked_study(study_dir: Path) -> Iterator[None]:
    """Hold a study's folder while its plan is read and written anew, so that processes side by side lose nothing.

    Raises:
        StorageError: the folder cannot be written, or another process holds it for long.
    """
    lock = FileLock(study_dir / _LOCK_FILE)
    try:
        study_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout as error:
        raise StorageError(f"{study_dir / _LOCK_FILE} is held by another process; end it, or try again") from error
    except OSError as error:
        raise StorageError(f"{study_dir} cannot be written: {error.strerror}; set runs_dir=PATH") from error
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class PlannedJob:
    """One job of a plan; ``choices`` are the settings that differ between jobs, as typed."""

    job_id: str
    arm: str
    block: str
    seed: int
    choices: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ContrastLooks:
    """The looks at a contrast that gets seeds until it is decided; each of them costs, whoever sees it later.

    Args:
        max_pairs: pairs at which it ends undecided; chosen before the first look.
        seeds: of the complete pairs that were looked at, in the order in which they came.
        counts: numbers of pairs at the looks, rising; empty before the first one.
    """

    arm: str
    block: str
    max_pairs: int
    seeds: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Published:
    """A number from a paper or a repository, and the runs of one setting beside it.

    Args:
        value: in the metric's unit, so an accuracy is a fraction.
        changed: settings in which the runs differ from the preset that names the number.
        jobs: ids of the runs.
    """

    arm: str
    block: str
    metric: str
    value: float
    source: str
    changed: tuple[str, ...]
    jobs: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What a comparison asks.

    Args:
        by: the keys whose values are the arms, such as ``("head",)``.
        baseline: the arm the others are held against.
        metric: the metric of the verdict, higher is better.
        rope: half width of the region of practical equivalence, in the metric's unit.
        alpha: the family-wise error of all intervals of the study together.
        looks: one entry a contrast where seeds are added until the verdict; empty for a fixed number of seeds.
    """

    by: tuple[str, ...]
    arms: tuple[str, ...]
    blocks: tuple[str, ...]
    seeds: tuple[int, ...]
    baseline: str
    metric: str
    rope: float
    alpha: float
    looks: tuple[ContrastLooks, ...] = ()

    def looks_at(self, arm: str, block: str) -> ContrastLooks | None:
        """The looks at one contrast; None where the number of seeds is fixed."""
        return next((one for one in self.looks if (one.arm, one.block) == (arm, block)), None)


@dataclass(frozen=True)
class Study:
    """A plan with its jobs; ``comparison`` is None for plain grids and single runs."""

    name: str
    verb: str
    command: str
    created_at: str
    jobs: tuple[PlannedJob, ...]
    comparison: Comparison | None = None
    published: tuple[Published, ...] = ()
    schema_version: int = STUDY_SCHEMA_VERSION

    def write(self, study_dir: Path) -> None:
        """Write ``study.json`` atomically."""
        write_json(study_dir / STUDY_FILE, asdict(self))

    def write_merged(self, study_dir: Path) -> None:
        """Add these jobs to those of the study on disk; a comparison that has the name already keeps its plan."""
        with locked_study(study_dir):
            if not (study_dir / STUDY_FILE).is_file():
                self.write(study_dir)
                return
            known = Study.read(study_dir)
            jobs = {job.job_id: job for job in (*known.jobs, *self.jobs)}
            if known.comparison is None and len(jobs) > len(known.jobs):
                published = join_published((*known.published, *self.published))
                replace(known, jobs=tuple(jobs.values()), published=published).write(study_dir)

    @staticmethod
    def read(study_dir: Path) -> Study:
        """Read ``study.json``.

        Raises:
            FileNotFoundError: the folder holds no study.
            IntegrityError: the file is damaged or of a newer schema.
        """
        path = study_dir / STUDY_FILE
        text = path.read_text(encoding="utf-8")
        try:
            values = json.loads(text)
            if values["schema_version"] > STUDY_SCHEMA_VERSION:
                raise IntegrityError(f"{path} was made by a newer nin-exp (schema {values['schema_version']}); update")
            jobs = tuple(PlannedJob(**job) for job in values["jobs"])
            comparison = None if values["comparison"] is None else _comparison(values["comparison"])
            published = tuple(
                Published(**{**one, "changed": tuple(one["changed"]), "jobs": tuple(one["jobs"])})
                for one in values.get("published", ())
            )
            return Study(**{**values, "jobs": jobs, "comparison": comparison, "published": published})
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path} must be a study's plan, but cannot be read; run its command again") from error


def _comparison(raw: dict[str, Any]) -> Comparison:
    lists = {k: tuple(raw[k]) for k in ("by", "arms", "blocks", "seeds")}
    looks = tuple(
        ContrastLooks(**{**one, "seeds": tuple(one["seeds"]), "counts": tuple(one["counts"])})
        for one in raw.get("looks", ())
    )
    return Comparison(**{**raw, **lists, "looks": looks})


def join_published(entries: Iterable[Published]) -> tuple[Published, ...]:
    """Entries that differ in their runs alone become one."""
    jobs: dict[Published, dict[str, None]] = {}
    for one in entries:
        jobs.setdefault(replace(one, jobs=()), {}).update(dict.fromkeys(one.jobs))
    return tuple(replace(one, jobs=tuple(ids)) for one, ids in jobs.items())
