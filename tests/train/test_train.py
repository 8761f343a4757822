"""Real, short runs on the embedded digits: records, reproducibility, stopping and going on, failures."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from nin_exp.records.record import Record

REPO = Path(__file__).resolve().parents[2]
SMALL = [
    "dataset=digits", "backbone=nin_bn", "backbone.width=0.1", "trainer.max_epochs=3", "trainer.batch_size=64",
    "trainer.threads=1", "augment=translate",
]  # fmt: skip


def _run_dir(folder: Path) -> Path:
    (found,) = (folder / "runs" / "train").glob("*/config.yaml")
    return found.parent


def _digest(run_dir: Path, name: str) -> str:
    return hashlib.sha256((run_dir / name).read_bytes()).hexdigest()


def test_a_run_leaves_what_the_design_promises(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = nin_exp("train", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "test/acc" in done.stdout
    assert done.stderr == ""  # quiet when not on a terminal
    run_dir = _run_dir(tmp_path)
    record = Record.read(run_dir)
    assert record.status == "done"
    assert record.exit_code == 0
    assert record.params_total is not None
    assert record.params_head is not None
    assert 0 < record.params_head < record.params_total
    assert record.data["num_train"] + record.data["num_val"] + record.data["num_test"] == 1797
    expected = {f"{s}/{m}" for s in ("val", "test") for m in ("loss", "acc", "nll", "brier", "ece")}
    assert expected | {"train/loss", "train/acc"} <= set(record.metrics)
    rows = list(csv.DictReader((run_dir / "metrics.csv").read_text().splitlines()))
    assert [r["epoch"] for r in rows] == ["1", "2", "3"]
    assert record.best_epoch == 1 + int(np.argmax([float(r["val/acc"]) for r in rows]))
    predictions = dict(np.load(run_dir / "predictions.npz"))
    assert predictions["test_logits"].shape == (record.data["num_test"], 10)
    accuracy = (predictions["test_logits"].argmax(1) == predictions["test_labels"]).mean()
    assert accuracy == pytest.approx(record.metrics["test/acc"])
    maps = dict(np.load(run_dir / "class_maps.npz"))
    assert maps["maps"].shape[:2] == (200, 10)
    assert (run_dir / "checkpoints" / "best.ckpt.sha256").is_file()
    assert not list(run_dir.rglob("*.tmp"))
    assert not (run_dir / ".lock").exists()
    again = nin_exp("train", *SMALL)
    assert again.returncode == 0
    assert "is done already" in again.stdout
    report = nin_exp("report", "train")
    assert report.returncode == 0, report.stderr
    assert (tmp_path / "runs" / "train" / "report" / "index.html").is_file()
    shown = nin_exp("show", run_dir.name[:6], "--json")
    assert json.loads(shown.stdout)["metrics"] == record.metrics
    assert run_dir.name in nin_exp("ls").stdout


def test_two_fresh_processes_agree_to_the_byte(tmp_path: Path) -> None:
    results = []
    for name, hash_seed in (("a", "1"), ("b", "2")):
        (tmp_path / name).mkdir()
        subprocess.run(
            [sys.executable, "-m", "nin_exp", "train", *SMALL],
            cwd=tmp_path / name,
            env={**os.environ, "PYTHONPATH": str(REPO / "src"), "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
        )
        run_dir = _run_dir(tmp_path / name)
        results.append([_digest(run_dir, n) for n in ("metrics.csv", "predictions.npz", "checkpoints/best.ckpt")])
    assert results[0] == results[1]


def _start(folder: Path, *extra: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "nin_exp", "train", *SMALL, "trainer.max_epochs=8", *extra],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPO / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for_rows(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for path in folder.glob("runs/train/*/metrics.csv"):
            if path.read_bytes().count(b"\n") > count:
                return
        time.sleep(0.02)
    raise AssertionError("the run made no progress")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of an eight-epoch run that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    process = _start(folder)
    process.communicate(timeout=240)
    assert process.returncode == 0
    return _run_dir(folder)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path, undisturbed: Path, number: int, code: int) -> None:
    """Byte-equal weights, optimizer state and metrics, stopped at a batch or killed at any moment."""
    process = _start(tmp_path / "cut")
    _wait_for_rows(tmp_path / "cut", 2)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == code
    run_dir = _run_dir(tmp_path / "cut")
    assert not (run_dir / "record.json").exists()
    if code > 0:
        assert "goes on" in out
    again = _start(tmp_path / "cut")
    again.communicate(timeout=240)
    assert again.returncode == 0
    for name in ("metrics.csv", "predictions.npz", "class_maps.npz", "checkpoints/best.ckpt"):
        assert _digest(run_dir, name) == _digest(undisturbed, name), name
    states = [torch.load(d / "checkpoints" / "last.ckpt", weights_only=True) for d in (run_dir, undisturbed)]
    for state in states:
        state["progress"].pop("times")
    _assert_equal(*states)
    assert "going on from epoch" in (run_dir / "log.txt").read_text()


def _assert_equal(one: object, two: object) -> None:
    if isinstance(one, torch.Tensor):
        assert isinstance(two, torch.Tensor)
        assert torch.equal(one, two)
    elif isinstance(one, dict):
        assert isinstance(two, dict)
        assert one.keys() == two.keys()
        for key in one:
            _assert_equal(one[key], two[key])
    elif isinstance(one, list | tuple):
        assert isinstance(two, list | tuple)
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            _assert_equal(a, b)
    else:
        assert one == two


def test_divergence_is_said_and_recorded(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    arguments = ["train", *SMALL, "optimizer.lr=1e9", "backbone=nin", "backbone.width=0.1", "schedule=constant"]
    done = nin_exp(*arguments)
    assert done.returncode == 7, done.stderr
    assert done.stderr.count("\n") == 1
    assert "lower optimizer.lr" in done.stderr
    record = Record.read(_run_dir(tmp_path))
    assert (record.status, record.exit_code) == ("diverged", 7)
    again = nin_exp(*arguments)
    assert again.returncode == 7
    assert "--retry-failed" in again.stdout


def test_a_damaged_checkpoint_is_refused(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    process = _start(tmp_path)
    _wait_for_rows(tmp_path, 1)
    process.kill()
    process.communicate()
    checkpoint = _run_dir(tmp_path) / "checkpoints" / "last.ckpt"
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 1
    checkpoint.write_bytes(data)
    done = nin_exp("train", *SMALL, "trainer.max_epochs=8")
    assert done.returncode == 4
    assert "does not match its checksum" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["backbone=nin", "dataset.image_size=1"], 2, "smallest"),
        (["dataset=arrays", "dataset.source=wrong.npz"], 3, "x_train"),
        (["trainer.accelerator=gpu"], 2, "needs a GPU"),
    ],
)
def test_what_does_not_fit_leaves_nothing(  # type: ignore[no-untyped-def]
    nin_exp, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    if "trainer.accelerator=gpu" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    np.savez(tmp_path / "wrong.npz", x_train=np.zeros((4, 8), np.uint8), y_train=np.zeros(4, np.int64))
    done = nin_exp("train", *arguments)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("nin-exp: error: ")
    assert message in done.stderr
    assert not (tmp_path / "runs").exists()


def test_max_steps_ends_a_run_and_it_still_counts(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = nin_exp("train", "--json", *SMALL, "trainer.max_steps=5")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["steps"] == 5
    assert record["epochs"] == 1
    assert 0 <= record["metrics"]["test/acc"] <= 1


def test_secrets_stay_out(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    source = tmp_path / "my.npz"
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    np.savez(source, x_train=rng.integers(0, 255, (40, 8, 8), dtype=np.uint8), y_train=labels)
    done = nin_exp(
        "train", "dataset=arrays", f"dataset.source={source}", *SMALL[1:], "trainer.max_epochs=1",
        "logger=wandb", "logger.wandb.project=db://me:hunter2@host", "logger.wandb.entity=null",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    hits = [p for p in (tmp_path / "runs").rglob("*") if p.is_file() and b"hunter2" in p.read_bytes()]
    assert hits == []


def test_early_stopping_and_the_last_weights(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A tiny rate never improves on epoch 1 by much: training stops after `patience` epochs without a better one."""
    still = ["optimizer.lr=1e-12", "schedule=constant", "trainer.max_epochs=9", "trainer.patience=2", "augment=none"]
    done = nin_exp("train", "--json", *SMALL, *still, "backbone=nin", "backbone.width=0.1", "checkpoint.keep=none")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["epochs"] == 3
    assert record["best_epoch"] == 1
    assert "stopped_early" in record["flags"]
    assert not list((_run_dir(tmp_path) / "checkpoints").iterdir())


def test_an_output_that_cannot_be_written(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_text("")
    done = nin_exp("train", *SMALL, "runs_dir=file")
    assert done.returncode == 6
    assert "runs_dir must be a folder that can be written" in done.stderr
    done = nin_exp("compare", *SMALL, "head=gap,fc", "runs_dir=file/below")
    assert done.returncode == 6


def test_errors_as_json(nin_exp) -> None:  # type: ignore[no-untyped-def]
    done = nin_exp("train", "--json", "head=gapp")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == 2
    assert "Did you mean 'gap'?" in error["message"]


def test_no_epochs_evaluates_the_start(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = nin_exp("train", "--json", *SMALL, "trainer.max_epochs=0")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["test/acc"] < 0.5
