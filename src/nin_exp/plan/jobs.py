"""A plan's jobs: every point of it composed, checked, and named by its content."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nin_exp.compose.composer import Assignment, Composer
from nin_exp.compose.identity import config_hash, group_hash
from nin_exp.compose.overrides import Setting
from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError, nearest
from nin_exp.plan.axes import SEED_KEYS
from nin_exp.plan.published import published_for
from nin_exp.records.job import Job
from nin_exp.records.redact import redact_text
from nin_exp.records.study import Comparison, PlannedJob, Published, Study, join_published


@dataclass(frozen=True)
class Plan:
    """All jobs of a command, composed and checked; ``config`` is the first job's.

    Args:
        notes: sentences that a user should read before the plan starts.
    """

    study: Study
    study_dir: Path
    jobs: tuple[Job, ...]
    config: ExperimentConfig
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One point of a plan before its seeds; an empty block label stands for the data set's name."""

    assignments: list[Assignment]
    arm: str = ""
    block: str = ""
    choices: dict[str, str] | None = None


def label(cell: Sequence[Assignment]) -> str:
    """``gap``, ``gap, adam``; keys that are not groups are named: ``gap, optimizer.lr=0.1``."""
    return ", ".join(plain(v) if "." not in k and k != "seed" else f"{k}={plain(v)}" for k, v in cell)


def plain(value: str) -> str:
    """A value without the quotes that Hydra's syntax needed."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def study_name(prefix: str, settings: Sequence[Setting]) -> str:
    """The same command, also with more seeds, goes on in the same study."""
    where = ("study", "runs_dir", "data_dir", "executor", "logger")
    what = sorted(str(s) for s in settings if s.key not in (*SEED_KEYS, *where) and not s.key.startswith("executor."))
    return f"{prefix}-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:6]}"


def finish_plan(
    composer: Composer,
    verb: str,
    command: str,
    cells: Sequence[Cell],
    default_study: Callable[[], str],
    seeds: tuple[int, ...] | None,
) -> Plan:
    """Compose every job; all problems of all jobs are told together."""
    jobs: dict[str, Job] = {}
    planned: list[PlannedJob] = []
    published: list[Published] = []
    problems: dict[str, None] = {}
    sections: dict[str, Any] = {}
    first: ExperimentConfig | None = None
    study_dir, study = Path(), ""
    for cell in _by_block(cells):
        for seed in seeds or (None,):
            for one in cell:
                assignments = [*one.assignments, *([("seed", str(seed))] if seed is not None else [])]
                try:
                    config = composer.compose(assignments)
                except ConfigError as error:
                    problems.update(dict.fromkeys(error.problems))
                    continue
                if first is None:
                    first = config
                    study = config.study if config.study is not None else default_study()
                    study_dir = Path(config.runs_dir).expanduser() / study
                job = share_sections(make_job(composer, config, one, study_dir, study, command), sections)
                if job.job_id not in jobs:
                    jobs[job.job_id] = job
                    planned.append(PlannedJob(job.job_id, job.arm, job.block, job.seed, job.choices))
                    published += published_for(composer, config, one.assignments, job)
    if problems:
        raise ConfigError(*problems)
    assert first is not None
    created = datetime.now(UTC).isoformat(timespec="seconds")
    record = Study(study, verb, redact_text(command), created, tuple(planned), published=join_published(published))
    return Plan(study=record, study_dir=study_dir, jobs=tuple(jobs.values()), config=first)


def _by_block(cells: Sequence[Cell]) -> list[list[Cell]]:
    return [list(group) for _, group in itertools.groupby(cells, key=lambda cell: cell.block)]


def make_job(
    composer: Composer, config: ExperimentConfig, cell: Cell, study_dir: Path, study: str, command: str
) -> Job:
    """The job of a checked configuration."""
    digest = config_hash(config, composer.allowed_packages)
    return Job(
        job_id=digest[:12],
        config=asdict(config),
        config_hash=digest,
        group_hash=group_hash(config, composer.allowed_packages),
        run_dir=study_dir / digest[:12],
        study=study,
        seed=config.seed,
        arm=cell.arm,
        block=cell.block or config.choices["dataset"],
        command=command,
        choices={k: plain(v) for k, v in (cell.choices or {}).items()},
        allowed_packages=composer.allowed_packages,
    )


def share_sections(job: Job, known: dict[str, Any]) -> Job:
    """The same job, whose sections are those of an earlier job where they are equal: most differ in seeds alone.

    Args:
        known: the sections so far.
    """
    for name, section in job.config.items():
        if isinstance(section, dict):
            job.config[name] = known.setdefault(json.dumps([name, section]), section)
    return job


def make_comparison(plan: Plan, by: Sequence[str], seeds: tuple[int, ...]) -> Comparison:
    """What a plan's arms, blocks and seeds ask.

    Raises:
        ConfigError: the baseline is not an arm.
    """
    settings = plan.config.compare
    arms = tuple(dict.fromkeys(job.arm for job in plan.jobs))
    blocks = tuple(dict.fromkeys(job.block for job in plan.jobs))
    baseline = arms[0] if settings.baseline is None else settings.baseline
    if baseline not in arms:
        raise ConfigError(f"compare.baseline must be an arm, got '{baseline}'.{nearest(baseline, arms)}")
    return Comparison(
        by=tuple(by),
        arms=arms,
        blocks=blocks,
        seeds=seeds,
        baseline=baseline,
        metric=settings.metric,
        rope=settings.rope,
        alpha=settings.alpha,
    )
