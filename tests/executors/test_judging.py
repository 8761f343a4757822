"""Epochs reach the plan, and its word to end early reaches the job: through a pipe, and through files."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest

from nin_exp.executors.feed import ListFeed, Row
from nin_exp.executors.judging import PRUNED_FILE, EpochFiles, FileJudge, PipeJudge
from nin_exp.records.job import Job
from nin_exp.train.run_files import METRICS_FILE, write_rows

ROWS = [{"epoch": 1, "val/acc": 0.1 + 0.2}, {"epoch": 2, "val/acc": 1 / 3}]


class Watching(ListFeed):
    """Ends jobs whose accuracy falls below 0.31."""

    watches_epochs = True

    def __init__(self) -> None:
        super().__init__([], lambda job: None, lambda outcome: None, lambda: None)
        self.asked: list[list[Row]] = []

    def is_pruned(self, job: Job, rows: Sequence[Row]) -> bool:
        self.asked.append(list(rows))
        return rows[-1]["val/acc"] < 0.31


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "j").mkdir()
    return Job("j", {}, "", "", tmp_path / "j", "s", 0)


def test_files_on_a_shared_disk(job: Job) -> None:
    """Each epoch is judged once, with its exact numbers; the job finds the word after its next epoch."""
    feed = Watching()
    files = EpochFiles(feed)
    judge = pickle.loads(pickle.dumps(files.judge_of(job)))
    assert isinstance(judge, FileJudge)
    files.look([job])
    write_rows(job.run_dir / METRICS_FILE, ROWS[:1])
    assert not judge.is_pruned(ROWS[:1])
    files.look([job])
    files.look([job])
    assert feed.asked == [ROWS[:1]]
    assert judge.is_pruned(ROWS)
    assert files.judge_of(job) is not None
    assert not (job.run_dir / PRUNED_FILE).exists(), "a new start is judged anew"


def test_nothing_is_read_for_a_plan_that_does_not_watch(job: Job) -> None:
    feed = Watching()
    feed.watches_epochs = False
    files = EpochFiles(feed)
    assert files.judge_of(job) is None
    write_rows(job.run_dir / METRICS_FILE, ROWS)
    files.look([job])
    assert feed.asked == []


def test_a_pipe_whose_plan_has_gone_prunes_nothing() -> None:
    plan, ours = multiprocessing.Pipe()
    judge = PipeJudge(ours)
    plan.send(True)
    assert judge.is_pruned(ROWS)
    assert plan.recv() == ROWS
    plan.close()
    assert not judge.is_pruned(ROWS)
    assert not judge.is_pruned(ROWS)
