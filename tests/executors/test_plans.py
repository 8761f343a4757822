"""Plans of real, tiny jobs in real processes: run, kill, go on, fail, grow stale."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nin_exp.records.record import Record
from nin_exp.records.study import Study

REPO = Path(__file__).resolve().parents[2]
TINY = [
    "dataset=digits", "backbone=nin_bn", "backbone.width=0.1", "trainer.max_epochs=2", "trainer.batch_size=128",
    "evaluation.panel=20", "study=s",
]  # fmt: skip


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nin_exp", *arguments]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    pipe = subprocess.PIPE
    return subprocess.Popen(command(*arguments), cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def digests(study: Path) -> dict[str, str]:
    names = ("metrics.csv", "predictions.npz", "checkpoints/best.ckpt")
    found = {}
    for record in sorted(study.glob("*/record.json")):
        for name in names:
            path = record.parent / name
            found[f"{record.parent.name}/{name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def processes_below(folder: Path) -> list[str]:
    """Command lines of living processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of two arms and three seeds that nobody disturbed."""
    folder = tmp_path_factory.mktemp("plain")
    process = start(folder, "compare", *TINY, "head=gap,fc", "seeds=3")
    out, error = process.communicate(timeout=280)
    assert process.returncode == 0, error
    assert "gap" in out
    return folder / "runs" / "s"


def test_a_comparison_runs_and_reports(study: Path) -> None:
    plan = Study.read(study)
    assert len(plan.jobs) == 6
    records = [Record.read(study / job.job_id) for job in plan.jobs]
    assert {(r.arm, r.seed) for r in records} == {(a, s) for a in ("gap", "fc") for s in range(3)}
    assert {r.status for r in records} == {"done"}
    assert (study / "report" / "index.html").stat().st_size > 100_000
    results = json.loads((study / "report" / "results.json").read_text())
    assert results["schema_version"] >= 1


def test_the_same_command_again_runs_nothing(study: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in study.glob("*/record.json")}
    process = start(study.parents[1], "compare", *TINY, "head=gap,fc", "seeds=3")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert {p: p.stat().st_mtime_ns for p in study.glob("*/record.json")} == before


def test_the_arms_of_a_pair_start_from_the_same_trunk(study: Path) -> None:
    """Same split and order as well: the validation labels stand in the same order."""
    import numpy as np

    plan = Study.read(study)
    pairs: dict[int, list[Path]] = {}
    for job in plan.jobs:
        pairs.setdefault(job.seed, []).append(study / job.job_id)
    for one, two in pairs.values():
        with np.load(one / "predictions.npz") as a, np.load(two / "predictions.npz") as b:
            assert (a["val_labels"] == b["val_labels"]).all()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_stopped_plan_goes_on_to_the_same_bytes(tmp_path: Path, study: Path, number: int) -> None:
    arguments = ["compare", *TINY, "head=gap,fc", "seeds=3"]
    codes = []
    for _ in range(12):
        process = start(tmp_path / "w", *arguments)
        deadline = time.monotonic() + 6 + 3 * len(codes)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if process.poll() is None:
            process.send_signal(number)
        process.communicate(timeout=60)
        codes.append(process.returncode)
        if process.returncode == 0:
            break
        wait_until = time.monotonic() + 10
        while processes_below(tmp_path / "w") and time.monotonic() < wait_until:
            time.sleep(0.1)
        assert processes_below(tmp_path / "w") == []
    assert codes[-1] == 0
    assert len(codes) > 1, "it was never interrupted"
    expected = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[signal.Signals(number)]
    assert set(codes[:-1]) == {expected}
    assert digests(tmp_path / "w" / "runs" / "s") == digests(study)


def test_a_failing_job_takes_only_itself(tmp_path: Path) -> None:
    arguments = [
        "train",
        "-m",
        *TINY,
        "optimizer.lr=0.05,1e9",
        "backbone=nin",
        "backbone.dropout=0",
        "schedule=constant",
    ]
    process = start(tmp_path, *arguments)
    _, error = process.communicate(timeout=280)
    assert process.returncode == 9, error
    records = [Record.read(p.parent) for p in (tmp_path / "runs" / "s").glob("*/record.json")]
    assert sorted(r.status for r in records) == ["diverged", "done"]
    again = start(tmp_path, *arguments)
    _, error = again.communicate(timeout=120)
    assert again.returncode == 9
    assert "--retry-failed" in error


def test_one_wrong_job_and_nothing_starts(tmp_path: Path) -> None:
    process = start(tmp_path, "compare", *TINY, "head=gap,fc", "dataset.image_size=8,1", "seeds=2")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert error.count("\n") == 1
    assert "nothing was started" in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_spawned_processes_give_the_same_bytes(tmp_path: Path, study: Path) -> None:
    """What Linux does by a fork server, others do by spawning."""
    arguments = ["compare", *TINY, "head=gap,fc", "seeds=3", "executor.start_method=spawn"]
    process = start(tmp_path, *arguments)
    _, error = process.communicate(timeout=280)
    assert process.returncode == 0, error
    assert digests(tmp_path / "runs" / "s") == digests(study)


@pytest.mark.slow
def test_a_killed_worker_takes_only_its_job(tmp_path: Path) -> None:
    process = start(tmp_path, "train", "-m", *TINY, "trainer.max_epochs=6", "seeds=4")
    victim = None
    deadline = time.monotonic() + 60
    while victim is None and time.monotonic() < deadline:
        for log in tmp_path.glob("runs/s/*/metrics.csv"):
            holder = [p for p in Path("/proc").glob("[0-9]*") if _has_open(p, log.parent / "log.txt")]
            victim = int(holder[0].name) if holder else None
        time.sleep(0.02)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    _, error = process.communicate(timeout=200)
    assert process.returncode == 9
    assert "killed" in error
    assert len(list((tmp_path / "runs" / "s").glob("*/record.json"))) == 3
    again = start(tmp_path, "train", "-m", *TINY, "trainer.max_epochs=6", "seeds=4")
    assert again.communicate(timeout=200)
    assert again.returncode == 0
    assert len(list((tmp_path / "runs" / "s").glob("*/record.json"))) == 4


def _has_open(process: Path, file: Path) -> bool:
    try:
        return any(link.readlink() == file for link in (process / "fd").iterdir())
    except OSError:
        return False


def test_stale_runs_are_asked_about(tmp_path: Path, study: Path) -> None:
    """A record made with other code stops the plan until the user says what to do."""
    import shutil

    shutil.copytree(study, tmp_path / "runs" / "s")
    record = next((tmp_path / "runs" / "s").glob("*/record.json"))
    values = json.loads(record.read_text())
    record.write_text(json.dumps({**values, "code_hash": "0" * 16}))
    arguments = ["compare", *TINY, "head=gap,fc", "seeds=3"]
    process = start(tmp_path, *arguments)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "1 of 6 runs are stale" in error
    keep = start(tmp_path, *arguments, "--stale=keep")
    _, error = keep.communicate(timeout=120)
    assert keep.returncode == 0, error
    assert json.loads(record.read_text())["code_hash"] == "0" * 16
    rerun = start(tmp_path, *arguments, "--stale=rerun")
    _, error = rerun.communicate(timeout=200)
    assert rerun.returncode == 0, error
    assert json.loads(record.read_text())["code_hash"] == values["code_hash"]
