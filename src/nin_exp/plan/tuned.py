"""The best of each arm of a search, compared on seeds that the search has not seen."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from nin_exp.compose.composer import Assignment, Composer
from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError
from nin_exp.plan.axes import SEED_KEYS, cross, make_axes
from nin_exp.plan.expand import seeds_of, single
from nin_exp.plan.jobs import Cell, Plan, finish_plan, label, make_comparison, study_name
from nin_exp.records.best import scored_runs
from nin_exp.records.objective import direction_of
from nin_exp.records.search import Search
from nin_exp.records.study import Study


@dataclass(frozen=True)
class TunedArm:
    """The trial that won an arm: its settings with those of the arm, its mean over seeds, and out of how many."""

    settings: dict[str, str]
    value: float
    num_trials: int


def plan_tuned(composer: Composer, study_dir: Path, texts: Iterable[str], command: str) -> Plan:
    """Arms as the search found them, times the listed blocks, times fresh seeds.

    Args:
        texts: further settings; lists are blocks.

    Raises:
        ConfigError: the study is no search with arms, an arm has no finished trial, or a seed was tuned on.
    """
    try:
        search = Search.read(study_dir)
    except FileNotFoundError as error:
        raise ConfigError(f"--tuned must name a study of `nin-exp tune`, got {study_dir}, which has none") from error
    if not search.by:
        raise ConfigError(f"--tuned needs a search with arms, and {study_dir} has none; tune with compare.by=KEY")
    arms = best_of_arms(study_dir, search)
    settings = composer.settings(texts)
    taken = [s.key for s in settings if any(s.key in arm.settings for arm in arms.values())]
    if taken:
        raise ConfigError(
            f"{taken[0]} was found by the search {study_dir.name}; take it out, or compare without --tuned"
        )
    lists = [s for s in settings if s.swept and s.key not in SEED_KEYS]
    own = single(s for s in settings if not s.swept)
    given = {key for key, _ in own} | {s.key for s in lists}
    fixed = [*(a for a in search.fixed if a[0] not in given), *own]
    first = next(iter(arms.values())).settings
    base = composer.compose([*fixed, *((s.key, s.values[0]) for s in lists), *first.items()])
    blocks = cross(make_axes(lists, base.sweep.zip))
    cells = [_cell(fixed, block, arm, tuned) for block in blocks for arm, tuned in arms.items()]
    seeds = _fresh(seeds_of(settings, base), base, search)
    named = [s for s in settings if s.key not in SEED_KEYS]
    plan = finish_plan(
        composer, "compare", command, cells, lambda: study_name(f"tuned-{study_dir.name}", named), seeds=seeds
    )
    study = replace(plan.study, comparison=make_comparison(plan, search.by, seeds))
    return replace(plan, study=study, notes=tuple(_notes(arms, search)))


def best_of_arms(study_dir: Path, search: Search) -> dict[str, TunedArm]:
    """The trial of each arm with the best mean of the first objective over all seeds.

    Raises:
        ConfigError: an arm has no trial that is done on all seeds.
    """
    objective = search.objectives[0]
    choose = max if direction_of(objective) == "maximize" else min
    values: dict[str, dict[tuple[Assignment, ...], list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in scored_runs(study_dir, objective):
        values[run.job.arm][tuple(run.job.choices.items())].append(run.value)
    planned: dict[str, set[tuple[Assignment, ...]]] = defaultdict(set)
    for job in Study.read(study_dir).jobs:
        planned[job.arm].add(tuple(job.choices.items()))
    found = {}
    for arm in search.arms:
        whole = {choices: v for choices, v in values[arm].items() if len(v) == len(search.seeds)}
        if not whole:
            raise ConfigError(f"no trial of arm '{arm}' is done in {study_dir}; go on with its `nin-exp tune` command")
        best = choose(whole, key=lambda choices: statistics.fmean(whole[choices]))
        found[arm] = TunedArm(dict(best), statistics.fmean(whole[best]), len(planned[arm]))
    return found


def _cell(fixed: list[Assignment], block: tuple[Assignment, ...], arm: str, tuned: TunedArm) -> Cell:
    settings = list(tuned.settings.items())
    choices = dict([*block, *settings])
    return Cell([*fixed, *block, *settings], arm=arm, block=label(block), choices=choices)


def _fresh(asked: tuple[int, ...], base: ExperimentConfig, search: Search) -> tuple[int, ...]:
    """Seeds that no trial was run with: a number is so many from the next one on."""
    start = max(search.seeds) + 1
    if not asked or isinstance(base.seeds, int):
        return tuple(range(start, start + (len(asked) or base.compare.default_seeds)))
    used = sorted(set(asked) & set(search.seeds))
    if used:
        raise ConfigError(f"seeds must be fresh, and the search used {used[0]}; take seeds from {start} on")
    return asked


def _notes(arms: dict[str, TunedArm], search: Search) -> Iterable[str]:
    for arm, tuned in arms.items():
        shown = " ".join(f"{key}={value}" for key, value in tuned.settings.items() if key not in search.by)
        yield f"{arm}: {shown}, the best of {tuned.num_trials} by {search.objectives[0]} ({tuned.value:.4g})"
    if len({tuned.num_trials for tuned in arms.values()}) > 1:
        yield "the arms were not searched with as many trials each: the comparison favours the arm with more"
