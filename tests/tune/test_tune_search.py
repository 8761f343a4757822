"""Searches without training: an executor that invents results drives the real feed, Optuna and its database."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.errors import ConfigError, StorageError
from nin_exp.executors.feed import Feed
from nin_exp.executors.outcome import Outcome, write_ending
from nin_exp.plan.forecast import forecast_search
from nin_exp.plan.tuned import plan_tuned
from nin_exp.records.job import Job
from nin_exp.records.processes import ProcessId
from nin_exp.records.record import Record
from nin_exp.records.search import Search
from nin_exp.records.study import Study
from nin_exp.tune import feed as feed_module
from nin_exp.tune.plan import plan_search
from nin_exp.tune.run import ArmResult, run_search
from nin_exp.tune.storage import abandoned, beat, claim

LR = "optimizer.lr=tag(log,interval(1e-3,1))"
MOMENTUM = "optimizer.momentum=interval(0,0.9)"


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer((shipped_config_dir(),))


def accuracy(job: Job, epoch: int) -> float:
    """Best at a learning rate of 0.1; every epoch brings it nearer; seeds move it a little."""
    distance = abs(math.log10(job.config["optimizer"]["lr"]) + 1)
    return (1 - 0.3 * distance) * (1 - 0.5**epoch) - 0.001 * (job.seed % 3)


class Killed(BaseException):
    """The search's process is killed here."""


class InventingExecutor:
    """Takes two jobs at a time and invents their epochs and records.

    Args:
        kill_after: number of jobs after which the process dies, or None.
    """

    def __init__(self, kill_after: int | None = None, diverges: Callable[[Job], bool] = lambda job: False) -> None:
        self.trained: list[str] = []
        self.pruned_at: list[int] = []
        self._kill_after, self._diverges = kill_after, diverges

    def run_feed(self, feed: Feed) -> None:
        running: list[Job] = []
        while True:
            while len(running) < 2 and (job := feed.next_job()) is not None:
                running.append(job)
                feed.on_start(job)
            if not running:
                return
            if self._kill_after is not None and len(self.trained) >= self._kill_after:
                raise Killed
            job = running.pop(0)
            feed.on_outcome(self._train(job, feed))

    def _train(self, job: Job, feed: Feed) -> Outcome:
        self.trained.append(job.job_id)
        rows = []
        if self._diverges(job):
            write_ending(job, "failed", 7, error="the loss became NaN")
            return Outcome(job, "failed", 7, "the loss became NaN")
        for epoch in range(1, job.config["trainer"]["max_epochs"] + 1):
            rows.append({"epoch": epoch, "val/acc": accuracy(job, epoch)})
            if feed.watches_epochs and feed.is_pruned(job, rows):
                self.pruned_at.append(epoch)
                write_ending(job, "pruned", 0, metrics={"val/acc": accuracy(job, epoch)})
                return Outcome(job, "pruned", 0)
        write_ending(job, "failed", 0, metrics={"val/acc": rows[-1]["val/acc"]})
        record = replace(Record.read(job.run_dir), status="done", params_total=100, code_hash="")
        record.write(job.run_dir)
        return Outcome(job, "done", 0)


@pytest.fixture
def tune(composer: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[ArmResult]]:
    """Run a search; a second call goes on with it, as a new process would."""
    monkeypatch.setattr("nin_exp.plan.states.code_hash", lambda config, packages: "")

    def claim_as_one_that_will_die(trial: optuna.Trial) -> None:
        gone = ProcessId(2**22 + 5, "long ago", __import__("socket").gethostname())
        trial.set_user_attr("owner", json.dumps(vars(gone)))

    monkeypatch.setattr(feed_module, "claim", claim_as_one_that_will_die)

    def run(*texts: str, executor: InventingExecutor | None = None, folder: str = "runs") -> list[ArmResult]:
        plan = plan_search(composer, [f"runs_dir={tmp_path / folder}", "study=t", *texts], "nin-exp tune")
        chosen = InventingExecutor() if executor is None else executor
        silent = {"on_start": lambda job: None, "on_outcome": lambda outcome: None, "on_tick": lambda: None}
        return run_search(plan, chosen, most=None, **silent)[0]  # type: ignore[arg-type]

    return run


def trials(folder: Path, name: str = "t") -> list[optuna.trial.FrozenTrial]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 't' / 'optuna.db'}").trials


def test_arms_get_the_same_number_of_trials(tune: Callable[..., list[ArmResult]], tmp_path: Path) -> None:
    results = tune("head=gap,fc", "compare.by=head", LR, "tune.trials=8")
    assert [(r.arm, sum(r.counts.values())) for r in results] == [("gap", 8), ("fc", 8)]
    for arm, result in zip(("gap", "fc"), results, strict=True):
        best = max(trials(tmp_path / "runs", f"t/{arm}"), key=lambda trial: trial.value or 0)
        assert result.best[0].number == best.number
        assert result.best[0].values == (best.value,)
    assert len(Study.read(tmp_path / "runs" / "t").jobs) == 16
    assert forecast_search(tmp_path / "runs" / "t", 20, 2).counts == {"done": 16}


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", pytest.param("gp", marks=pytest.mark.slow)])
def test_a_killed_search_goes_on_as_if_it_had_not_been(
    tune: Callable[..., list[ArmResult]], tmp_path: Path, sampler: str
) -> None:
    """The same trials with the same values, and no job trained twice but the one that was under way."""
    space = [
        LR,
        "optimizer.momentum=interval(0,0.9)",
        f"tune.sampler={sampler}",
        "tune.trials=9",
        "tune.startup_trials=3",
    ]
    tune(*space, folder="whole")
    trained: list[str] = []
    for kill_after in (2, 3, None):
        executor = InventingExecutor(kill_after)
        try:
            tune(*space, executor=executor)
        except Killed:
            assert kill_after is not None
        trained += executor.trained
    found = trials(tmp_path / "runs")
    expected = trials(tmp_path / "whole")
    assert [t.number for t in found] == list(range(9))
    assert [t.state.name for t in found] == ["COMPLETE"] * 9
    assert len(trained) == len(set(trained)) == 9
    if sampler == "random":  # the others depend on what was known when they were asked
        assert [t.params for t in found] == [t.params for t in expected]


def test_a_finished_search_trains_nothing_and_more_trials_go_on(
    tune: Callable[..., list[ArmResult]], tmp_path: Path
) -> None:
    tune(LR, "tune.trials=4")
    before = {t.number: (t.params, t.value) for t in trials(tmp_path / "runs")}
    again = InventingExecutor()
    tune(LR, "tune.trials=4", executor=again)
    assert again.trained == []
    more = InventingExecutor()
    tune(LR, "tune.trials=6", executor=more)
    assert len(more.trained) == 2
    after = {t.number: (t.params, t.value) for t in trials(tmp_path / "runs")}
    assert {n: after[n] for n in before} == before


def test_whose_trial_it_is(tmp_path: Path) -> None:
    """A trial under way is gone on with when its process has ended: on another machine, when it is silent for long."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    ours, far, unclaimed = study.ask(), study.ask(), study.ask()
    claim(ours)
    other = ProcessId(7, "then", "far")
    far.set_user_attr("owner", json.dumps(vars(other)))
    assert [t.number for t in abandoned(study)] == [far.number, unclaimed.number]
    name = "alive/far/7/then"
    study.set_user_attr(name, time.time() - 60)
    assert [t.number for t in abandoned(study)] == [unclaimed.number]
    study.set_user_attr(name, time.time() - 3600)
    assert [t.number for t in abandoned(study)] == [far.number, unclaimed.number]
    beat(study)
    assert any(key.startswith("alive/") and key != name for key in study.user_attrs)


def test_another_space_needs_another_study(tune: Callable[..., list[ArmResult]]) -> None:
    tune(LR, "tune.trials=1")
    with pytest.raises(ConfigError, match="searched with another space"):
        tune("optimizer.lr=interval(0.1,0.2)", "tune.trials=1")


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_pruners_end_bad_trials_early(tune: Callable[..., list[ArmResult]], tmp_path: Path, pruner: str) -> None:
    executor = InventingExecutor()
    options = ["tune.trials=16", "trainer.max_epochs=8", "tune.sampler=random", "tune.reduction_factor=2"]
    (result,) = tune(LR, f"tune.pruner={pruner}", *options, executor=executor)
    assert result.counts["pruned"] == len(executor.pruned_at) > 0
    assert max(executor.pruned_at) < 8
    whole = [t for t in trials(tmp_path / "runs") if t.state.name == "COMPLETE"]
    assert result.best[0].values[0] == max(t.value for t in whole if t.value is not None)
    assert all(sorted(t.intermediate_values) == list(range(1, 9)) for t in whole)


def test_wilcoxon_saves_the_seeds_of_bad_trials(tune: Callable[..., list[ArmResult]], tmp_path: Path) -> None:
    executor = InventingExecutor()
    (result,) = tune(LR, "tune.pruner=wilcoxon", "seeds=8", "tune.trials=10", "tune.sampler=random", executor=executor)
    assert result.counts["pruned"] > 0
    assert len(executor.trained) < 80
    done = [t for t in trials(tmp_path / "runs") if t.state.name == "COMPLETE"]
    assert all(len(t.user_attrs["jobs"]) == 8 for t in done)


def test_a_diverged_trial_is_told_and_the_search_goes_on(tune: Callable[..., list[ArmResult]], tmp_path: Path) -> None:
    executor = InventingExecutor(diverges=lambda job: job.config["optimizer"]["lr"] > 0.1)
    (result,) = tune(LR, "tune.trials=8", "tune.sampler=random", executor=executor)
    assert result.counts["failed"] > 0
    assert result.counts["failed"] + result.counts["done"] == 8
    failed = next(t for t in trials(tmp_path / "runs") if t.state.name == "FAIL")
    assert failed.user_attrs["error"] == "the loss became NaN"


def test_a_grid_visits_every_point_once(tune: Callable[..., list[ArmResult]], tmp_path: Path) -> None:
    tune("optimizer.lr=0.1,0.2,0.3", "head=gap,fc", "tune.sampler=grid", "tune.trials=50")
    points = [tuple(sorted(t.params.items())) for t in trials(tmp_path / "runs")]
    assert len(points) == len(set(points)) == 6


def test_several_objectives_give_a_front(tune: Callable[..., list[ArmResult]]) -> None:
    (result,) = tune(LR, "tune.trials=6", "tune.objectives=[val/acc,params_total]", "tune.sampler=random")
    assert all(len(trial.values) == 2 for trial in result.best)
    assert {trial.values[1] for trial in result.best} == {100.0}


def test_the_best_of_each_arm_on_fresh_seeds(
    tune: Callable[..., list[ArmResult]], composer: Composer, tmp_path: Path
) -> None:
    results = tune("head=gap,fc", "compare.by=head", LR, "tune.trials=5", "seeds=2")
    plan = plan_tuned(composer, tmp_path / "runs" / "t", ["seeds=3", "dataset=digits,placed_digits"], "nin-exp compare")
    comparison = plan.study.comparison
    assert comparison is not None
    assert comparison.arms == ("gap", "fc")
    assert comparison.seeds == (2, 3, 4)
    assert comparison.blocks == ("digits", "placed_digits")
    rates = {job.arm: job.config["optimizer"]["lr"] for job in plan.jobs}
    assert rates == {r.arm: float(r.best[0].settings["optimizer.lr"]) for r in results}
    assert {job.config["evaluation"]["level"] for job in plan.jobs} == {"basic"}
    with pytest.raises(ConfigError, match="seeds must be fresh, and the search used 1"):
        plan_tuned(composer, tmp_path / "runs" / "t", ["seeds=1,7"], "")
    with pytest.raises(ConfigError, match=r"optimizer\.lr was found by the search t"):
        plan_tuned(composer, tmp_path / "runs" / "t", ["optimizer.lr=1"], "")


def test_a_search_without_arms_cannot_be_confirmed(
    tune: Callable[..., list[ArmResult]], composer: Composer, tmp_path: Path
) -> None:
    tune(LR, "tune.trials=1")
    assert Search.read(tmp_path / "runs" / "t").by == ()
    with pytest.raises(ConfigError, match="needs a search with arms"):
        plan_tuned(composer, tmp_path / "runs" / "t", [], "")


def test_a_database_that_is_none(tune: Callable[..., list[ArmResult]], tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(StorageError, match="file is not a database; free it"):
        tune(LR, f"tune.storage='sqlite:///{tmp_path / 'text.db'}'")
    with pytest.raises(ConfigError, match=r"tune\.storage must be a database URL such as"):
        tune(LR, "tune.storage=nonsense")
