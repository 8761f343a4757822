"""What a search's trials are worth when some of them are lost."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from nin_exp.records.record import Record
from nin_exp.records.search import Search
from nin_exp.records.study import Study
from nin_exp.report.analysis import analyse
from nin_exp.report.collect import load_study

Writer = Callable[..., Path]


def test_a_lost_trial_spends_its_budget(study_writer: Writer, tmp_path: Path) -> None:
    """fc's best trial diverged: it counts as the worst that any arm has done, and not as one that was never begun."""

    def edit(record: Record) -> Record:
        is_lost = record.head == "fc" and record.seed == 0
        return replace(record, status="diverged", exit_code=7, metrics={}) if is_lost else record

    folder = study_writer(tmp_path / "lr", blocks=("mnist",), seeds=4, compare=False, edit=edit)
    study = Study.read(folder)
    jobs = [replace(job, arm=job.choices["head"], choices={"lr": f"0.{job.seed + 1}"}) for job in study.jobs]
    replace(study, jobs=tuple(jobs)).write(folder)
    arms = {arm: (("head", arm),) for arm in ("gap", "fc")}
    Search(("head",), arms, (), ("lr=interval(0.1,0.5)",), (0,), ("val/acc",)).write(folder)
    tuning = analyse(load_study(folder)).tuning
    assert tuning is not None
    gap, fc = tuning.arms
    assert (fc.num_trials, fc.num_done, fc.num_lost, tuning.budget) == (4, 3, 1, 4)
    assert tuning.at_budget["fc"] == max(fc.values)
    worst = min(*gap.values, *fc.values)
    assert fc.expected[0] == pytest.approx(fmean([*fc.values, worst]))
    assert gap.expected[0] == pytest.approx(fmean(gap.values))
