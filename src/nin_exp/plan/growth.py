"""A comparison that gets seeds until it is decided: which seeds a block has, which come next, what goes on from before.

The whole plan, with all seeds that it may come to, is composed and checked before anything starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from nin_exp.compose.composer import Composer
from nin_exp.errors import ConfigError
from nin_exp.plan.expand import compare_seeds, comparison_seeds, with_preset
from nin_exp.plan.jobs import Plan
from nin_exp.records.job import Job
from nin_exp.records.study import STUDY_FILE, Comparison, ContrastLooks, Study
from nin_exp.stats.sequential import FIRST_LOOK

MUST_STAY = ("by", "arms", "blocks", "baseline", "metric", "rope", "alpha")
"""What may not change after the first look."""


class Growth:
    """The seeds that each block has by now, out of a plan that holds all it may get.

    Args:
        whole: with every seed, up to ``compare.max_seeds``.
        first: seeds that every block starts with.

    ``has_fixed_past`` says that the study on disk had a fixed number of seeds: its report was a look.
    """

    def __init__(self, whole: Plan, first: int) -> None:
        comparison = whole.study.comparison
        assert comparison is not None  # a comparison was planned
        self.whole = whole
        self.max_pairs = len(comparison.seeds)
        self.has_fixed_past = False
        self._order = comparison.seeds
        self._places = {job.job_id: (job.block, job.seed) for job in whole.jobs}
        self.seeds = {block: list(self._order[:first]) for block in comparison.blocks}
        planned = {(job.arm, job.block) for job in whole.jobs}
        self.looks = {
            (arm, block): ContrastLooks(arm, block, self.max_pairs)
            for block in comparison.blocks
            for arm in comparison.arms
            if arm != comparison.baseline and (arm, block) in planned
        }

    def study(self) -> Study:
        """The plan as it stands, with the looks so far, ready to be written."""
        known = self.whole.study
        assert known.comparison is not None
        used = {seed for seeds in self.seeds.values() for seed in seeds}
        comparison = replace(
            known.comparison,
            seeds=tuple(seed for seed in self._order if seed in used),
            looks=tuple(self.looks.values()),
        )
        ids = {job.job_id for job in self.jobs()}
        return replace(known, jobs=tuple(job for job in known.jobs if job.job_id in ids), comparison=comparison)

    def plan(self) -> Plan:
        """The jobs so far."""
        return replace(self.whole, study=self.study(), jobs=tuple(self.jobs()))

    def jobs(self) -> list[Job]:
        """The jobs so far, in the order of the whole plan."""
        return [job for job in self.whole.jobs if job.seed in self.seeds[job.block]]

    def jobs_of(self, block: str, seeds: Iterable[int]) -> list[Job]:
        """The jobs of a block for the given seeds."""
        wanted = set(seeds)
        return [job for job in self.whole.jobs if job.block == block and job.seed in wanted]

    def extend(self, block: str, number: int) -> list[Job]:
        """Give a block so many more seeds; returns their jobs, none when it has all it may get."""
        fresh = list(islice((s for s in self._order if s not in self.seeds[block]), number))
        self.seeds[block] += fresh
        return self.jobs_of(block, fresh)

    def resume(self, known: Study) -> None:
        """Take over the seeds and looks of a study that lies on disk.

        Raises:
            ConfigError: it was looked at with another question or another ``compare.max_seeds``.
        """
        if known.comparison is None:
            return
        for job in known.jobs:
            if job.job_id in self._places and job.seed not in self.seeds[job.block]:
                self.seeds[job.block].append(job.seed)
        self.has_fixed_past = not known.comparison.looks
        if known.comparison.looks:
            self._refuse_another_question(known.comparison)
            self.looks = {(one.arm, one.block): one for one in known.comparison.looks}

    def _refuse_another_question(self, known: Comparison) -> None:
        asked = self.whole.study.comparison
        assert asked is not None
        remedy = "keep it, or start another study with study=NAME"
        for name in MUST_STAY:
            then, now = getattr(known, name), getattr(asked, name)
            if then != now:
                raise ConfigError(
                    f"compare.{name} was {_short(then)} when {self.whole.study_dir} was first looked at, "
                    f"got {_short(now)}; {remedy}"
                )
        for one in known.looks:
            if one.max_pairs != self.max_pairs:
                raise ConfigError(
                    f"compare.max_seeds was {one.max_pairs} when {self.whole.study_dir} was first looked at, "
                    f"got {self.max_pairs}; {remedy}"
                )
            foreign = [seed for seed in one.seeds if seed not in self._order]
            if foreign:
                raise ConfigError(f"seed {foreign[0]} was looked at in {self.whole.study_dir}; give the same seeds")


def _short(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def plan_until_decided(composer: Composer, texts: Iterable[str], command: str) -> Growth:
    """A comparison with all the seeds that it may come to.

    It starts with the seeds that were asked for, at least six; the next ones are the smallest that are not among them.

    Raises:
        ConfigError: as ``plan_comparison``, or more seeds were asked for than ``compare.max_seeds``.
    """
    settings, base = with_preset(composer, texts)
    given, most = comparison_seeds(settings, base), base.compare.max_seeds
    if len(given) > most:
        raise ConfigError(f"compare.max_seeds must be at least the {len(given)} seeds asked for, got {most}; raise it")
    plan = compare_seeds(composer, settings, base, command, all_seeds(given, most))
    return Growth(plan, max(FIRST_LOOK, len(given)))


def all_seeds(given: Sequence[int], most: int) -> tuple[int, ...]:
    """The given seeds, then the smallest that are not among them.

    >>> all_seeds([0, 7], 4)
    (0, 7, 1, 2)
    """
    others = (seed for seed in count() if seed not in given)
    return (*given, *islice(others, most - len(given)))


def refuse_looked_at(plan: Plan) -> None:
    """Refuse to plan a fixed number of seeds where looks were taken: the report would forget them.

    Raises:
        ConfigError: the study gets seeds until it is decided.
    """
    if (plan.study_dir / STUDY_FILE).is_file() and plan.study.comparison is not None:
        known = read_study(plan.study_dir)
        if known is not None and known.comparison is not None and known.comparison.looks:
            raise ConfigError(
                f"{plan.study_dir} gets seeds until it is decided, and has been looked at; go on with "
                "--until-decided, or start another study with study=NAME"
            )


def read_study(study_dir: Path) -> Study | None:
    """The study that lies in a folder; None where there is none."""
    try:
        return Study.read(study_dir)
    except (FileNotFoundError, NotADirectoryError):
        return None
