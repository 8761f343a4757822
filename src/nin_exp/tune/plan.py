"""From what was typed to a search: its arms, its space, and the jobs of a trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nin_exp.compose.composer import Assignment, Composer
from nin_exp.compose.overrides import Setting
from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError, nearest
from nin_exp.plan.axes import SEED_KEYS, cross, make_axes
from nin_exp.plan.expand import named_keys, seeds_of, single, with_preset
from nin_exp.plan.jobs import Cell, label, make_job, study_name
from nin_exp.records.job import Job
from nin_exp.records.objective import COSTS, direction_of, needs_test
from nin_exp.records.redact import redact_text
from nin_exp.records.search import Search
from nin_exp.records.study import Study
from nin_exp.tune.space import Space, num_points

_EPOCH_METRICS = ("train/loss", "train/acc", "val/loss", "val/acc")
_WITHOUT_TEST: Assignment = ("evaluation.level", "validation")


@dataclass(frozen=True)
class SearchPlan:
    """A search before it starts; ``config`` is that of a job in the middle of nowhere: its fixed part counts.

    Args:
        arms: label to settings; one arm without a name when nothing is compared.
        probes: one job for each choice and each end of an interval, to be checked before anything runs.
    """

    composer: Composer
    study: Study
    study_dir: Path
    search: Search
    space: Space
    arms: dict[str, tuple[Assignment, ...]]
    seeds: tuple[int, ...]
    config: ExperimentConfig
    probes: tuple[Job, ...]

    @property
    def trials_per_arm(self) -> int:
        """The budget of each arm; a grid has no more trials than points."""
        trials = self.config.tune.trials
        return min(trials, num_points(self.space.grid())) if self.config.tune.sampler == "grid" else trials

    def jobs(self, arm: str, params: Sequence[Assignment]) -> list[Job]:
        """The jobs of a trial, one a seed.

        Raises:
            ConfigError: the values do not go together.
        """
        settings = [*self.arms[arm], *params]
        cell = Cell(settings, arm=arm, choices=dict(settings))
        jobs = []
        for seed in self.seeds:
            config = self.composer.compose([*self.search.fixed, *settings, _WITHOUT_TEST, ("seed", str(seed))])
            jobs.append(make_job(self.composer, config, cell, self.study_dir, self.study.name, self.study.command))
        return jobs


def plan_search(composer: Composer, texts: Iterable[str], command: str) -> SearchPlan:
    """A search over the intervals and lists; lists over ``compare.by`` are arms, each with the whole budget.

    Raises:
        ConfigError: there is nothing to search, a point of the space is no valid configuration, or an objective is
            of the test split.
    """
    settings, base = with_preset(composer, texts, search=True)
    swept = [s for s in settings if s.swept and s.key not in (*SEED_KEYS, "compare.by")]
    by = _arm_keys(settings, base, swept)
    space = Space(tuple(s for s in swept if s.key not in by))
    fixed = [a for a in single(s for s in settings if not s.swept) if a[0] not in ("seeds", *SEED_KEYS)]
    seeds = seeds_of(settings, base) or (base.seed,)
    _refuse(base, fixed, space, seeds)
    arms = {label(point): point for point in cross(make_axes([s for s in swept if s.key in by], []))}
    name = base.study if base.study is not None else study_name("tune", _naming(settings))
    study_dir = Path(base.runs_dir).expanduser() / name
    created = datetime.now(UTC).isoformat(timespec="seconds")
    search = Search(
        by=tuple(by),
        arms=arms,
        fixed=tuple(a for a in fixed if a[0].split(".")[0] not in ("tune", "compare", "study", "runs_dir")),
        space=tuple(str(s) for s in space.settings),
        seeds=seeds,
        objectives=tuple(base.tune.objectives),
    )
    study = Study(name, "tune", redact_text(command), created, ())
    draft = SearchPlan(composer, study, study_dir, search, space, arms, seeds, base, ())
    probes = _probe(draft)
    return SearchPlan(composer, study, study_dir, search, space, arms, seeds, base, tuple(probes))


def _arm_keys(settings: Sequence[Setting], base: ExperimentConfig, swept: Sequence[Setting]) -> list[str]:
    keys = named_keys(settings, base)
    lists = [s.key for s in swept if s.interval is None]
    for key in keys:
        if key not in lists:
            raise ConfigError(
                f"compare.by={key} must name a key with a list of arms, and the lists are "
                f"{', '.join(lists) or 'none'}.{nearest(key, lists)}"
            )
    return keys


def _refuse(base: ExperimentConfig, fixed: Sequence[Assignment], space: Space, seeds: Sequence[int]) -> None:
    tune = base.tune
    if not space.settings:
        raise ConfigError(
            "tune needs a space to search, such as 'optimizer.lr=tag(log,interval(1e-3,1))'; got none beside the arms"
        )
    if base.sweep.zip or base.sweep.exclude:
        raise ConfigError("sweep.zip and sweep.exclude belong to grids; a search takes neither")
    if any(key == "evaluation.level" for key, _ in fixed):
        raise ConfigError(
            "evaluation.level must not be set for tune: its trials do not read the test split; take it out"
        )
    if not tune.objectives or len(set(tune.objectives)) != len(tune.objectives):
        raise ConfigError(f"tune.objectives must list different metrics, got {tune.objectives}")
    for name in tune.objectives:
        direction_of(name)
        if needs_test(name):
            raise ConfigError(
                f"tune.objectives must not be of the test split, got {name}; use val/{name.rpartition('/')[2]}"
            )
    if tune.sampler == "grid":
        space.grid()
    _refuse_pruner(base, seeds)


def _refuse_pruner(base: ExperimentConfig, seeds: Sequence[int]) -> None:
    tune = base.tune
    if tune.pruner == "none":
        return
    if len(tune.objectives) > 1:
        raise ConfigError(f"tune.pruner must be none with several objectives, got {tune.pruner}; Optuna prunes by one")
    objective = tune.objectives[0]
    if tune.pruner == "wilcoxon" and len(seeds) < 2:
        raise ConfigError("tune.pruner=wilcoxon compares trials seed by seed; give several, such as seeds=6")
    if tune.pruner != "wilcoxon" and objective not in _EPOCH_METRICS:
        kind = "a cost" if objective in COSTS else "measured at the end"
        raise ConfigError(
            f"tune.pruner={tune.pruner} needs an objective that each epoch measures ({', '.join(_EPOCH_METRICS)}), "
            f"got {objective}, which is {kind}; use tune.pruner=none"
        )


def _naming(settings: Sequence[Setting]) -> list[Setting]:
    """More trials go on in the same study."""
    return [s for s in settings if s.key not in ("tune.trials", "tune.storage")]


def _probe(plan: SearchPlan) -> list[Job]:
    """Compose each choice and each end once in each arm; all problems are told together."""
    jobs: dict[str, Job] = {}
    problems: dict[str, None] = {}
    for arm in plan.arms:
        for params in plan.space.probes():
            try:
                job = plan.jobs(arm, params)[0]
            except ConfigError as error:
                problems.update(dict.fromkeys(error.problems))
            else:
                jobs[job.job_id] = job
    if problems:
        raise ConfigError(*problems)
    return list(jobs.values())
