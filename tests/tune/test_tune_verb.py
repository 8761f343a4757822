"""``nin-exp tune`` with real training: pruned workers, a kill, and the comparison on fresh seeds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from nin_exp.records.record import Record
from nin_exp.records.study import Study

REPO = Path(__file__).resolve().parents[2]
TINY = [
    "dataset=digits", "backbone=nin_bn", "backbone.width=0.1", "trainer.batch_size=128", "evaluation.panel=20",
    "study=t",
]  # fmt: skip
SPACE = ["head=gap,fc", "compare.by=head", "optimizer.lr=tag(log,interval(1e-4,1))"]


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_search_is_killed_goes_on_and_is_confirmed(tmp_path: Path, nin_exp) -> None:  # type: ignore[no-untyped-def]
    pruning = ["tune.trials=5", "tune.pruner=asha", "tune.reduction_factor=2", "tune.sampler=random"]
    arguments = ["tune", *TINY, *SPACE, *pruning, "trainer.max_epochs=3"]
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    quiet = subprocess.DEVNULL
    search = subprocess.Popen(
        [sys.executable, "-m", "nin_exp", *arguments], cwd=tmp_path, env=environment, stdout=quiet, stderr=quiet
    )
    study_dir = tmp_path / "runs" / "t"
    deadline = time.monotonic() + 120
    while len(list(study_dir.glob("*/record.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    with contextlib.suppress(OSError):
        search.send_signal(signal.SIGKILL)
    search.wait()
    before = {p: p.read_bytes() for p in study_dir.glob("*/record.json")}
    done = nin_exp(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    arms = json.loads(done.stdout)["arms"]
    assert [(arm["arm"], sum(arm["counts"].values())) for arm in arms] == [("gap", 5), ("fc", 5)]
    assert {p: p.read_bytes() for p in before} == before
    records = {p.parent.name: Record.read(p.parent) for p in study_dir.glob("*/record.json")}
    assert set(records) == {job.job_id for job in Study.read(study_dir).jobs}
    assert {r.status for r in records.values()} == {"done", "pruned"}
    assert not any(name.startswith("test/") for r in records.values() for name in r.metrics)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for arm in arms:
        study = optuna.load_study(study_name=f"t/{arm['arm']}", storage=f"sqlite:///{study_dir / 'optuna.db'}")
        assert [t.number for t in study.trials] == list(range(5))
        assert arm["best"][0]["values"] == [study.best_value]
        assert records[arm["best"][0]["jobs"][0]].metrics["val/acc"] == study.best_value
    confirmed = nin_exp("compare", "--tuned", "t", "seeds=2", "trainer.max_epochs=1")
    assert confirmed.returncode == 0, confirmed.stderr
    assert "the best of 5 by val/acc" in confirmed.stderr
