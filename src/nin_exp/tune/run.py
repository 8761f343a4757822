"""Carry out a search, and say what it has found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from nin_exp.errors import ConfigError
from nin_exp.executors.executor import Executor
from nin_exp.executors.outcome import Outcome
from nin_exp.records.job import Job
from nin_exp.records.objective import direction_of
from nin_exp.records.search import Search
from nin_exp.records.study import STUDY_FILE, Study, locked_study
from nin_exp.tune.feed import SearchFeed
from nin_exp.tune.plan import SearchPlan
from nin_exp.tune.storage import open_storage, open_study, storage_errors, storage_url
from nin_exp.tune.strategy import make_pruner


@dataclass(frozen=True)
class BestTrial:
    """A trial that none of its arm beats in every objective."""

    number: int
    values: tuple[float, ...]
    settings: dict[str, str]
    jobs: tuple[str, ...]


@dataclass(frozen=True)
class ArmResult:
    """What the search of one arm has found; with several objectives ``best`` is the Pareto front."""

    arm: str
    objectives: tuple[str, ...]
    counts: dict[str, int]
    best: tuple[BestTrial, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a person."""
        counts = ", ".join(f"{number} {state}" for state, number in self.counts.items()) or "none"
        name = f"{self.arm}: " if self.arm else ""
        if not self.best:
            return [f"{name}no trial is done (trials: {counts})"]
        head = "Pareto front of" if len(self.objectives) > 1 else "best of"
        lines = [f"{name}{head} {sum(self.counts.values())} trials ({counts})"]
        for trial in self.best:
            values = "  ".join(f"{n} {v:.6g}" for n, v in zip(self.objectives, trial.values, strict=True))
            settings = " ".join(f"{key}={value}" for key, value in trial.settings.items())
            lines.append(f"  trial {trial.number}: {values}  {settings}  ({', '.join(trial.jobs)})")
        return lines


def run_search(
    plan: SearchPlan,
    executor: Executor,
    *,
    most: int | None,
    on_start: Callable[[Job], None],
    on_outcome: Callable[[Outcome], None],
    on_tick: Callable[[], None],
) -> tuple[list[ArmResult], int | None]:
    """Run or go on with a search; returns what it has found and the exit code of a stop request.

    Args:
        most: at most so many new trials.

    Raises:
        ConfigError: the study on disk searched something else.
        StorageError: the database cannot be used.
    """
    with locked_study(plan.study_dir):
        plan = _going_on(plan)
    url = storage_url(plan.config.tune.storage, plan.study_dir)
    directions = [direction_of(name) for name in plan.search.objectives]
    storage = open_storage(url)
    with storage_errors(url):
        studies = {}
        for arm in plan.arms:
            name = f"{plan.study.name}/{arm}" if arm else plan.study.name
            studies[arm] = open_study(storage, name, directions)
            epochs = plan.config.trainer.max_epochs * len(plan.seeds)
            studies[arm].pruner = make_pruner(plan.config.tune, epochs)
        feed = SearchFeed(plan, studies, most=most, on_start=on_start, on_outcome=on_outcome, on_tick=on_tick)
        stopped = executor.run_feed(feed)
        results = [_result(plan, arm, study) for arm, study in studies.items()]
    storage.remove_session()
    storage.engine.dispose()
    return results, stopped


def _going_on(plan: SearchPlan) -> SearchPlan:
    """Write what is searched, or compare it with what was; the jobs so far belong to the plan."""
    if not (plan.study_dir / STUDY_FILE).is_file():
        plan.search.write(plan.study_dir)
        plan.study.write(plan.study_dir)
        return plan
    known = Study.read(plan.study_dir)
    try:
        search = Search.read(plan.study_dir)
    except FileNotFoundError as error:
        raise ConfigError(f"{plan.study_dir} is a study of another kind; choose another study=") from error
    if search != plan.search:
        for name in ("space", "by", "arms", "seeds", "objectives", "fixed"):
            then, now = getattr(search, name), getattr(plan.search, name)
            if then != now:
                raise ConfigError(
                    f"{plan.study_dir} searched with another {name} ({_short(then)}, now {_short(now)}); "
                    "choose another study="
                )
    known = replace(known, command=plan.study.command)
    known.write(plan.study_dir)
    return replace(plan, study=known)


def _short(value: Any) -> str:
    text = ", ".join("=".join(v) if isinstance(v, tuple) else str(v) for v in value)
    return text if len(text) < 80 else f"{text[:77]}..."


def _result(plan: SearchPlan, arm: str, study: optuna.Study) -> ArmResult:
    trials = study.get_trials(deepcopy=False)
    names = {"complete": "done", "fail": "failed", "running": "under way"}
    counts = Counter(names.get(t.state.name.lower(), t.state.name.lower()) for t in trials)
    has_values = any(t.state is TrialState.COMPLETE for t in trials)
    best = study.best_trials if has_values else []
    found = [_best(plan, trial) for trial in best]
    if len(plan.search.objectives) == 1:
        found = found[:1]  # of equal trials the earliest
    return ArmResult(arm, plan.search.objectives, dict(counts), tuple(found))


def _best(plan: SearchPlan, trial: FrozenTrial) -> BestTrial:
    settings = dict(plan.space.assignments(trial.params))
    return BestTrial(trial.number, tuple(trial.values), settings, tuple(trial.user_attrs.get("jobs", ())))
