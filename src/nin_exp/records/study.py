"""The plan of a study, as ``study.json`` holds it: which jobs belong to it, and what it compares."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from nin_exp.errors import IntegrityError
from nin_exp.records.files import write_json

STUDY_FILE = "study.json"
STUDY_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class PlannedJob:
    """One job of a plan; ``choices`` are the settings that differ between jobs, as typed."""

    job_id: str
    arm: str
    block: str
    seed: int
    choices: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """What a comparison asks.

    Args:
        by: the keys whose values are the arms, such as ``("head",)``.
        baseline: the arm the others are held against.
        metric: the metric of the verdict, higher is better.
        rope: half width of the region of practical equivalence, in the metric's unit.
        alpha: the family-wise error of all intervals of the study together.
    """

    by: tuple[str, ...]
    arms: tuple[str, ...]
    blocks: tuple[str, ...]
    seeds: tuple[int, ...]
    baseline: str
    metric: str
    rope: float
    alpha: float


@dataclass(frozen=True)
class Study:
    """A plan with its jobs; ``comparison`` is None for plain grids and single runs."""

    name: str
    verb: str
    command: str
    created_at: str
    jobs: tuple[PlannedJob, ...]
    comparison: Comparison | None = None
    schema_version: int = STUDY_SCHEMA_VERSION

    def write(self, study_dir: Path) -> None:
        """Write ``study.json`` atomically."""
        write_json(study_dir / STUDY_FILE, asdict(self))

    def write_merged(self, study_dir: Path) -> None:
        """Add these jobs to a study of single runs; a comparison that has the name already keeps its plan."""
        if not (study_dir / STUDY_FILE).is_file():
            self.write(study_dir)
            return
        known = Study.read(study_dir)
        jobs = {job.job_id: job for job in (*known.jobs, *self.jobs)}
        if known.comparison is None and len(jobs) > len(known.jobs):
            replace(known, jobs=tuple(jobs.values())).write(study_dir)

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
            raw = values["comparison"]
            comparison = None
            if raw is not None:
                lists = {k: tuple(raw[k]) for k in ("by", "arms", "blocks", "seeds")}
                comparison = Comparison(**{**raw, **lists})
            return Study(**{**values, "jobs": jobs, "comparison": comparison})
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path} must be a study's plan, but cannot be read; run its command again") from error
