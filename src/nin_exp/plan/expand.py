"""From what was typed to jobs: a single run, a grid, or the arms, blocks and seeds of a comparison."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from nin_exp.compose.composer import Assignment, Composer
from nin_exp.compose.identity import config_hash, group_hash
from nin_exp.compose.overrides import Setting, parse_overrides
from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError, nearest
from nin_exp.records.job import Job
from nin_exp.records.redact import redact_text
from nin_exp.records.study import Comparison, PlannedJob, Study

SEED_KEYS = ("seed", "seeds")


@dataclass(frozen=True)
class Plan:
    """All jobs of a command, composed and checked; ``config`` is the first job's."""

    study: Study
    study_dir: Path
    jobs: tuple[Job, ...]
    config: ExperimentConfig


def plan_single(composer: Composer, texts: Iterable[str], command: str) -> Plan:
    """One run.

    Raises:
        ConfigError: the configuration is wrong, or an override is a list.
    """
    settings = parse_overrides(texts, composer.groups)
    swept = [str(s) for s in settings if s.swept]
    if swept:
        raise ConfigError(f"{swept[0]} is a list of runs; add -m for a grid, or use `nin-exp compare`")
    return _finish(composer, "train", command, [_Cell(_single(settings))], default_study=lambda: "train", seeds=None)


def plan_grid(composer: Composer, texts: Iterable[str], command: str) -> Plan:
    """Every combination of the listed values; seeds innermost."""
    settings, base = _with_preset(composer, texts)
    axes = [s for s in settings if s.swept and s.key not in SEED_KEYS]
    fixed = _single(s for s in settings if not s.swept)
    cells = [_Cell([*fixed, *cell], block=_label(cell), choices=dict(cell)) for cell in _product(axes)]
    seeds = _seeds(settings, base) or (base.seed,)
    return _finish(composer, "train", command, cells, default_study=lambda: _study_name("grid", settings), seeds=seeds)


def plan_comparison(composer: Composer, texts: Iterable[str], command: str) -> Plan:
    """Arms times blocks times seeds; the arms of a pair stand next to each other in the plan.

    Raises:
        ConfigError: the configuration of any job is wrong, there are fewer than two arms, or what is compared is
            not clear.
    """
    settings, base = _with_preset(composer, texts)
    by = _compared_keys(settings, base)
    axes = {s.key: s for s in settings if s.swept and s.key not in (*SEED_KEYS, "compare.by")}
    fixed = _single(s for s in settings if not s.swept)
    arms = list(_product([axes[key] for key in by]))
    if len(arms) < 2:
        raise ConfigError(f"compare needs at least two arms, got {by[0]}={_label(arms[0])}; list them: {by[0]}=a,b")
    blocks = list(_product([axis for key, axis in axes.items() if key not in by]))
    cells = [
        _Cell([*fixed, *block, *arm], arm=_label(arm), block=_label(block), choices=dict([*block, *arm]))
        for block in blocks
        for arm in arms
    ]
    seeds = _seeds(settings, base) or tuple(range(base.compare.default_seeds))
    plan = _finish(
        composer,
        "compare",
        command,
        cells,
        default_study=lambda: _study_name("compare", settings),
        seeds=seeds,
    )
    return replace(plan, study=replace(plan.study, comparison=_comparison(plan, by, seeds)))


@dataclass(frozen=True)
class _Cell:
    """One point of a plan before its seeds; an empty block label stands for the data set's name."""

    assignments: list[Assignment]
    arm: str = ""
    block: str = ""
    choices: dict[str, str] | None = None


def _with_preset(composer: Composer, texts: Iterable[str]) -> tuple[list[Setting], ExperimentConfig]:
    """Settings, with those that a preset sweeps over, and the configuration that all jobs share."""
    settings = parse_overrides(texts, composer.groups)
    fixed = _single(s for s in settings if not s.swept)
    first = [(s.key, s.values[0]) for s in settings if s.swept and s.key not in (*SEED_KEYS, "compare.by")]
    base = composer.compose([*fixed, *first])
    given = {s.key for s in settings}
    preset = [f"{key}={value}" for key, value in base.sweep.params.items() if key not in given]
    return [*parse_overrides(preset, composer.groups), *settings], base


def _single(settings: Iterable[Setting]) -> list[Assignment]:
    return [(s.key, s.values[0]) for s in settings if s.key != "compare.by"]


def _product(axes: Sequence[Setting]) -> Iterable[tuple[Assignment, ...]]:
    return itertools.product(*([(axis.key, value) for value in axis.values] for axis in axes))


def _label(cell: Sequence[Assignment]) -> str:
    """``gap``, ``gap, adam``; keys that are not groups are named: ``gap, optimizer.lr=0.1``."""
    return ", ".join(_plain(v) if "." not in k and k != "seed" else f"{k}={_plain(v)}" for k, v in cell)


def _plain(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _compared_keys(settings: Sequence[Setting], base: ExperimentConfig) -> list[str]:
    explicit = next((s for s in settings if s.key == "compare.by"), None)
    if explicit is not None:
        joined = ",".join(_plain(v) for v in explicit.values)
        keys = [k.strip() for k in joined.strip("[]").split(",") if k.strip()]
    elif base.compare.by is not None:
        keys = [base.compare.by] if isinstance(base.compare.by, str) else base.compare.by
    else:
        keys = []
    lists = [s.key for s in settings if s.swept and s.key not in (*SEED_KEYS, "compare.by")]
    if not lists:
        raise ConfigError("compare needs a list to compare, such as head=gap,fc; got none")
    if not keys:
        keys = lists if len(lists) == 1 else ["head"]
    missing = [k for k in keys if k not in lists]
    if missing:
        raise ConfigError(
            f"compare.by={missing[0]} must name a key with a list, and the lists are {', '.join(lists)};"
            f"{nearest(missing[0], lists)} Say which to compare with compare.by=KEY"
        )
    return keys


def _seeds(settings: Sequence[Setting], base: ExperimentConfig) -> tuple[int, ...]:
    """The seeds of the inner loop; empty when none were asked for."""
    swept = next((s for s in settings if s.key in SEED_KEYS and s.swept), None)
    if swept is not None:
        try:
            seeds = tuple(int(v) for v in swept.values)
        except ValueError as error:
            raise ConfigError(f"{swept} must list integers") from error
        if any(s < 0 for s in seeds) or len(set(seeds)) != len(seeds):
            raise ConfigError(f"{swept} must list different seeds >= 0")
        return seeds
    if base.seeds is None:
        return ()
    return tuple(base.seeds) if isinstance(base.seeds, list) else tuple(range(base.seeds))


def _study_name(prefix: str, settings: Sequence[Setting]) -> str:
    """The same command, also with more seeds, goes on in the same study."""
    where = ("study", "runs_dir", "data_dir", "executor", "logger")
    what = sorted(str(s) for s in settings if s.key not in (*SEED_KEYS, *where) and not s.key.startswith("executor."))
    return f"{prefix}-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:6]}"


def _finish(
    composer: Composer,
    verb: str,
    command: str,
    cells: Sequence[_Cell],
    default_study: object,
    seeds: tuple[int, ...] | None,
) -> Plan:
    """Compose every job; all problems of all jobs are told together."""
    jobs: dict[str, Job] = {}
    planned: list[PlannedJob] = []
    problems: dict[str, None] = {}
    first: ExperimentConfig | None = None
    study_dir, study = Path(), ""
    for cell in _by_block(cells):
        for seed in seeds or (None,):
            for one in cell:
                assignments = [*one.assignments, *([("seed", str(seed))] if seed is not None else [])]
                try:
                    config = composer.compose(assignments)
                except ConfigError as error:
                    problems.update(dict.fromkeys(str(error).split("; ")))
                    continue
                if first is None:
                    first = config
                    study = config.study if config.study is not None else default_study()  # type: ignore[operator]
                    study_dir = Path(config.runs_dir).expanduser() / study
                job = _job(composer, config, one, study_dir, study, command)
                if job.job_id not in jobs:
                    jobs[job.job_id] = job
                    planned.append(PlannedJob(job.job_id, job.arm, job.block, job.seed, job.choices))
    if problems:
        raise ConfigError("; ".join(problems))
    assert first is not None
    created = datetime.now(UTC).isoformat(timespec="seconds")
    record = Study(study, verb, redact_text(command), created, tuple(planned))
    return Plan(study=record, study_dir=study_dir, jobs=tuple(jobs.values()), config=first)


def _by_block(cells: Sequence[_Cell]) -> list[list[_Cell]]:
    return [list(group) for _, group in itertools.groupby(cells, key=lambda cell: cell.block)]


def _job(composer: Composer, config: ExperimentConfig, cell: _Cell, study_dir: Path, study: str, command: str) -> Job:
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
        choices={k: _plain(v) for k, v in (cell.choices or {}).items()},
        allowed_packages=composer.allowed_packages,
    )


def _comparison(plan: Plan, by: Sequence[str], seeds: tuple[int, ...]) -> Comparison:
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
