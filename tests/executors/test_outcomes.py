"""How a job's end is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.executors.outcome import EXIT_ELSEWHERE, read_outcome, write_ending
from nin_exp.plan.expand import plan_single
from nin_exp.plan.states import job_state
from nin_exp.records.job import Job
from nin_exp.records.record import Record
from nin_exp.train.run import TrainedElsewhereError, train
from nin_exp.train.run_files import LOCK_FILE


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return plan_single(Composer((shipped_config_dir(),)), [f"runs_dir={tmp_path}"], "").jobs[0]


def test_a_crash_without_a_record_gets_one(job: Job) -> None:
    assert read_outcome(job, -11).ending == "failed"
    assert not job.run_dir.exists(), "what was removed stays so"
    job.run_dir.mkdir(parents=True)
    outcome = read_outcome(job, -11)
    assert (outcome.ending, outcome.exit_code) == ("failed", -11)
    record = Record.read(job.run_dir)
    assert record.status == "failed"
    assert record.error is not None
    assert "signal SIGSEGV" in record.error


@pytest.mark.parametrize(("code", "ending"), [(-9, "killed"), (-15, "killed"), (143, "stopped"), (75, "stopped")])
def test_what_comes_from_outside_is_no_failure(job: Job, code: int, ending: str) -> None:
    assert read_outcome(job, code).ending == ending
    assert not job.run_dir.exists()


def test_a_job_that_another_process_trains_is_left_alone(job: Job) -> None:
    """Its record would be the other's; whoever looks at the lock for a moment does not count."""
    assert read_outcome(job, EXIT_ELSEWHERE).ending == "elsewhere"
    assert not job.run_dir.exists()
    from filelock import FileLock

    job.run_dir.mkdir(parents=True)
    with FileLock(job.run_dir / LOCK_FILE):
        assert job_state(job).state == "running"
        with pytest.raises(TrainedElsewhereError, match="is being trained by another process"):
            train(job, threads=1, patience=0.1)
    write_ending(job, "failed", 1, error="none of theirs")
    assert read_outcome(job, EXIT_ELSEWHERE).ending == "elsewhere"
