"""From what was typed to jobs: a single run, a grid, or the arms, blocks and seeds of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from nin_exp.compose.composer import Assignment, Composer
from nin_exp.compose.overrides import Setting
from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError, nearest
from nin_exp.plan.axes import SEED_KEYS, Axis, Exclusions, cross, make_axes, unpaired_notes
from nin_exp.plan.jobs import Cell, Plan, finish_plan, label, make_comparison, plain, study_name


def plan_single(composer: Composer, texts: Iterable[str], command: str) -> Plan:
    """One run.

    Raises:
        ConfigError: the configuration is wrong, or an override is a list.
    """
    settings = composer.settings(texts)
    swept = [str(s) for s in settings if s.swept or s.key.split(".")[0] == "sweep"]
    if swept:
        raise ConfigError(f"{swept[0]} is a list of runs; add -m for a grid, or use `nin-exp compare`")
    plan = finish_plan(composer, "train", command, [Cell(single(settings))], lambda: "train", seeds=None)
    typed = next((s for s in settings if s.key == "seeds" and plan.config.seeds is not None), None)
    if typed is not None:  # those of a preset are for its comparison
        raise ConfigError(f"{typed} is for several runs; add -m for a grid, or set seed=N for one run")
    return plan


def plan_grid(composer: Composer, texts: Iterable[str], command: str) -> Plan:
    """Every combination of the listed values; seeds innermost."""
    settings, base = with_preset(composer, texts)
    fixed = single(s for s in settings if not s.swept)
    axes = make_axes(_lists(settings), base.sweep.zip)
    exclusions = Exclusions(base.sweep.exclude, composer)
    cells = [
        Cell([*fixed, *point], block=label(point), choices=dict(point))
        for point in cross(axes)
        if not exclusions.leaves_out([*fixed, *point])
    ]
    seeds = seeds_of(settings, base) or (base.seed,)
    if not cells:
        raise ConfigError("sweep.exclude leaves out every job; take a list out")
    plan = finish_plan(composer, "train", command, cells, lambda: study_name("grid", settings), seeds=seeds)
    return replace(plan, notes=_unused_notes(exclusions, settings))


def plan_comparison(composer: Composer, texts: Iterable[str], command: str) -> Plan:
    """Arms times blocks times seeds; the arms of a pair stand next to each other in the plan.

    Raises:
        ConfigError: the configuration of any job is wrong, there are fewer than two arms, or what is compared is
            not clear.
    """
    settings, base = with_preset(composer, texts)
    return compare_seeds(composer, settings, base, command, comparison_seeds(settings, base))


def comparison_seeds(settings: Sequence[Setting], base: ExperimentConfig) -> tuple[int, ...]:
    """The seeds of a comparison: those asked for, else as many as the exact test needs."""
    return seeds_of(settings, base) or tuple(range(base.compare.default_seeds))


def compare_seeds(
    composer: Composer, settings: Sequence[Setting], base: ExperimentConfig, command: str, seeds: tuple[int, ...]
) -> Plan:
    """Plan a comparison over the given seeds; see ``plan_comparison``."""
    lists = _lists(settings)
    axes = make_axes(lists, base.sweep.zip)
    by = _with_zipped(compared_keys(settings, base, axes), axes)
    fixed = single(s for s in settings if not s.swept)
    arms = cross([next(axis for axis in axes if key == axis.keys[0]) for key in _first_keys(by, axes)])
    if len(arms) < 2:
        raise ConfigError(f"compare needs at least two arms, got {by[0]}={label(arms[0])}; list them: {by[0]}=a,b")
    blocks = cross([axis for axis in axes if axis.keys[0] not in by])
    exclusions = Exclusions(base.sweep.exclude, composer)
    cells = [
        Cell([*fixed, *block, *arm], arm=label(arm), block=label(block), choices=dict([*block, *arm]))
        for block in blocks
        for arm in arms
        if not exclusions.leaves_out([*fixed, *block, *arm])
    ]
    if len({cell.arm for cell in cells}) < 2:
        raise ConfigError("sweep.exclude leaves fewer than two arms to compare; take a list out")
    plan = finish_plan(composer, "compare", command, cells, lambda: study_name("compare", settings), seeds=seeds)
    comparison = make_comparison(plan, by, seeds)
    places = {(job.arm, job.block) for job in plan.jobs}
    notes = unpaired_notes(comparison.arms, comparison.blocks, comparison.baseline, lambda a, b: (a, b) in places)
    study = replace(plan.study, comparison=comparison)
    return replace(plan, study=study, notes=(*_unused_notes(exclusions, settings), *notes))


def _lists(settings: Iterable[Setting]) -> list[Setting]:
    return [s for s in settings if s.swept and s.key not in (*SEED_KEYS, "compare.by")]


def _with_zipped(by: Sequence[str], axes: Sequence[Axis]) -> list[str]:
    """The compared keys with those that advance together with them."""
    keys = [k for axis in axes if set(axis.keys) & set(by) for k in axis.keys]
    if "dataset" in keys and "dataset" not in by:
        raise ConfigError(
            "sweep.zip must not join dataset with a compared key: every arm needs every data set; take dataset out"
        )
    return [*by, *(k for k in keys if k not in by)]


def _first_keys(by: Sequence[str], axes: Sequence[Axis]) -> list[str]:
    """One key an axis, in the order of ``by``."""
    return list(dict.fromkeys(next(axis.keys[0] for axis in axes if key in axis.keys) for key in by))


def _unused_notes(exclusions: Exclusions, settings: Sequence[Setting]) -> tuple[str, ...]:
    """Exclusions that fit no job: an error when typed, a note when a named sweep brought them.

    Raises:
        ConfigError: one of those that were typed fits no job.
    """
    unused = exclusions.unused
    if unused and any(s.key == "sweep.exclude" for s in settings):
        raise ConfigError(f"sweep.exclude: {', '.join(unused)} fits no job of this plan; correct it or take it out")
    return tuple(f"sweep.exclude: {text} of the named sweep fits no job of this plan" for text in unused)


def with_preset(
    composer: Composer, texts: Iterable[str], *, search: bool = False
) -> tuple[list[Setting], ExperimentConfig]:
    """Settings, with those that a preset sweeps over, and the configuration that all jobs share."""
    settings = composer.settings(texts, search=search)
    base = composer.compose_first(settings)
    given = {s.key for s in settings}
    preset = [f"{key}={value}" for key, value in base.sweep.params.items() if key not in given]
    return [*composer.settings(preset, search=search), *settings], base


def single(settings: Iterable[Setting]) -> list[Assignment]:
    """The one value of each setting."""
    return [(s.key, s.values[0]) for s in settings if s.key != "compare.by"]


def compared_keys(settings: Sequence[Setting], base: ExperimentConfig, axes: Sequence[Axis]) -> list[str]:
    """The keys whose values are the arms.

    Raises:
        ConfigError: nothing is listed, or ``compare.by`` names no list.
    """
    keys = named_keys(settings, base)
    lists = [key for axis in axes for key in axis.keys]
    if not lists:
        raise ConfigError("compare needs a list to compare, such as head=gap,fc; got none")
    if not keys:
        keys = lists if len(axes) == 1 else ["head"]
    missing = [k for k in keys if k not in lists]
    if missing:
        hint = nearest(missing[0], lists)
        raise ConfigError(
            f"compare.by={missing[0]} must name a key with a list, and the lists are {', '.join(lists)}."
            f"{hint if 'Did' in hint else ''} Say which to compare with compare.by=KEY"
        )
    return keys


def named_keys(settings: Sequence[Setting], base: ExperimentConfig) -> list[str]:
    """The keys that ``compare.by`` names; none when it is null."""
    typed = next((s for s in settings if s.key == "compare.by"), None)
    if typed is None:
        return [base.compare.by] if isinstance(base.compare.by, str) else base.compare.by or []
    joined = ",".join(plain(v) for v in typed.values)
    return [k.strip() for k in joined.strip("[]").split(",") if k.strip() not in ("", "null")]


def seeds_of(settings: Sequence[Setting], base: ExperimentConfig) -> tuple[int, ...]:
    """The seeds of the inner loop; empty when none were asked for.

    Raises:
        ConfigError: they are not different integers from 0 on.
    """
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


__all__ = [
    "Plan",
    "compare_seeds",
    "compared_keys",
    "comparison_seeds",
    "plan_comparison",
    "plan_grid",
    "plan_single",
    "seeds_of",
    "single",
    "with_preset",
]
