"""A plan that grows: Optuna is asked for a trial, its jobs run, and Optuna is told how they went."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from nin_exp.errors import ConfigError
from nin_exp.executors.feed import Feed, Row
from nin_exp.executors.outcome import Outcome
from nin_exp.plan.states import job_state
from nin_exp.records.job import Job
from nin_exp.records.objective import value_of
from nin_exp.records.record import Record
from nin_exp.records.study import PlannedJob, locked_study
from nin_exp.tune.plan import SearchPlan
from nin_exp.tune.storage import BEAT_SECONDS, abandoned, beat, claim
from nin_exp.tune.strategy import make_sampler


@dataclass
class _Active:
    """A trial under way: its jobs, one a seed, run one after another."""

    arm: str
    study: optuna.Study
    trial: Trial
    jobs: list[Job]
    values: list[list[float]] = field(default_factory=list)  # for each seed done, one a objective
    is_running: bool = False
    is_told: bool = False

    @property
    def next_job(self) -> Job:
        return self.jobs[len(self.values)]


class SearchFeed(Feed):
    """Gives jobs of trials to an executor; the arms take turns, so that they grow together.

    Several searches may share a study, also from several machines: each trial belongs to one of them, and all count
    against one budget.

    Args:
        studies: Optuna's study of each arm.
        most: at most so many new trials now; None for the whole budget.
        on_start, on_outcome, on_tick: for a display.
    """

    is_adaptive = True

    def __init__(
        self,
        plan: SearchPlan,
        studies: dict[str, optuna.Study],
        *,
        most: int | None,
        on_start: Callable[[Job], None],
        on_outcome: Callable[[Outcome], None],
        on_tick: Callable[[], None],
    ) -> None:
        self._plan, self._studies, self._left = plan, studies, most
        self._on_start, self._on_outcome, self._on_tick = on_start, on_outcome, on_tick
        self._watches_seeds = plan.config.tune.pruner == "wilcoxon"
        self.watches_epochs = plan.config.tune.pruner not in ("none", "wilcoxon")
        self._active: list[_Active] = []
        self._beat()
        for arm, study in studies.items():
            for frozen in self._adopted(study):
                study.sampler = make_sampler(plan.config.tune, plan.space, arm, frozen.number)
                self._begin(arm, study, Trial(study, frozen._trial_id))

    def _beat(self) -> None:
        self._last_beat = time.monotonic()
        for study in self._studies.values():
            beat(study)

    def _adopted(self, study: optuna.Study) -> list[FrozenTrial]:
        """Trials under way that nobody works at any more; they are this search's from now on."""
        with locked_study(self._plan.study_dir):
            found = abandoned(study)
            for frozen in found:
                claim(Trial(study, frozen._trial_id))
        return found

    def next_job(self) -> Job | None:
        while True:
            taken = {one.next_job.job_id for one in self._active if one.is_running}
            for one in self._active:
                # Two trials may hold the same values: the second waits, and takes the first one's result.
                if not one.is_running and one.next_job.job_id not in taken:
                    job = self._job_to_run(one)
                    if job is not None:
                        return job
                    break  # its record was there: the trial has moved on
            else:
                if not self._ask():
                    return None

    def _job_to_run(self, one: _Active) -> Job | None:
        job = one.next_job
        state = job_state(job)
        if state.state == "done" and state.record is not None:
            self._take(one, state.record)
            return None
        if state.state in ("failed", "pruned", "stale") and state.record is not None:
            self._end(one, TrialState.PRUNED if state.state == "pruned" else TrialState.FAIL, state.reason)
            return None
        one.is_running = True
        return job

    def _ask(self) -> bool:
        """Begin a trial in the arm that has the fewest; False when the budget is spent."""
        if self._left == 0:
            return False
        with locked_study(self._plan.study_dir):
            counts = {arm: len(study.get_trials(deepcopy=False)) for arm, study in self._studies.items()}
            arm = min(counts, key=lambda name: counts[name])
            if counts[arm] >= self._plan.trials_per_arm:
                return False
            study = self._studies[arm]
            study.sampler = make_sampler(self._plan.config.tune, self._plan.space, arm, counts[arm])
            trial = study.ask()
            claim(trial)
        if self._left is not None:
            self._left -= 1
        self._begin(arm, study, trial)
        return True

    def _begin(self, arm: str, study: optuna.Study, trial: Trial) -> None:
        """Settle a trial's values (those it has already are kept) and make its jobs."""
        params = {key: trial._suggest(key, d) for key, d in self._plan.space.distributions.items()}
        settings = self._plan.space.assignments(params)
        try:
            jobs = self._plan.jobs(arm, settings)
        except ConfigError as error:
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=TrialState.FAIL)
            return
        trial.set_user_attr("jobs", [job.job_id for job in jobs])
        planned = tuple(PlannedJob(job.job_id, job.arm, job.block, job.seed, job.choices) for job in jobs)
        replace(self._plan.study, jobs=planned).write_merged(self._plan.study_dir)
        self._active.append(_Active(arm, study, trial, jobs))

    def on_start(self, job: Job) -> None:
        self._on_start(job)

    def on_tick(self) -> None:
        if time.monotonic() - self._last_beat > BEAT_SECONDS:
            self._beat()
        self._on_tick()

    def is_pruned(self, job: Job, rows: Sequence[Row]) -> bool:
        one = self._of(job)
        epochs = self._plan.config.trainer.max_epochs
        offset = len(one.values) * epochs
        known = one.study._storage.get_trial(one.trial._trial_id).intermediate_values
        for row in rows:
            step = offset + int(row["epoch"])
            if step not in known:
                one.trial.report(row[self._plan.search.objectives[0]], step)
        is_last = len(one.values) == len(one.jobs) - 1 and int(rows[-1]["epoch"]) >= epochs
        return not is_last and one.trial.should_prune()

    def on_outcome(self, outcome: Outcome) -> None:
        one = self._of(outcome.job)
        one.is_running = False
        if outcome.ending == "done":
            self._take(one, Record.read(outcome.job.run_dir))
        elif outcome.ending == "pruned":
            self._end(one, TrialState.PRUNED)
        elif outcome.ending == "failed":
            self._end(one, TrialState.FAIL, outcome.error)
        else:  # stopped, killed, or trained by another plan: the trial stays under way and goes on with the next start
            self._active.remove(one)
        self._on_outcome(outcome)

    def _of(self, job: Job) -> _Active:
        return next(one for one in self._active if one.is_running and one.next_job.job_id == job.job_id)

    def _take(self, one: _Active, record: Record) -> None:
        """Note what a seed gave; the last one ends the trial."""
        found = [value_of(record, name) for name in self._plan.search.objectives]
        values = [value for value in found if value is not None]
        if len(values) < len(found):
            missing = self._plan.search.objectives[found.index(None)]
            self._end(one, TrialState.FAIL, f"{missing} was not measured, or is not finite")
            return
        one.values.append(values)
        if self._watches_seeds and len(one.values) < len(one.jobs):
            one.trial.report(values[0], len(one.values) - 1)
            if one.trial.should_prune():
                self._end(one, TrialState.PRUNED)
                return
        if len(one.values) == len(one.jobs):
            self._end(one, TrialState.COMPLETE)

    def _end(self, one: _Active, state: TrialState, error: str = "") -> None:
        self._active.remove(one)
        if error:
            one.trial.set_user_attr("error", error[:500])
        if state is TrialState.COMPLETE:
            means = [statistics.fmean(column) for column in zip(*one.values, strict=True)]
            one.study.tell(one.trial, means, skip_if_finished=True)
        else:
            one.study.tell(one.trial, state=state, skip_if_finished=True)
