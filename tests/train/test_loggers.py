"""Mirrors: what W&B and TensorBoard really hold afterwards, and that nothing they do harms a run."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nin_exp.contracts.mirror import Mirror
from nin_exp.records.job import Job
from nin_exp.records.record import Record
from nin_exp.train.loggers import Mirrors, WandbMirror, wandb_id

REPO = Path(__file__).resolve().parents[2]
TINY = [
    "dataset=digits",
    "backbone=nin_bn",
    "backbone.width=0.1",
    "trainer.max_epochs=2",
    "trainer.threads=1",
    "head=fc",
]


def _wandb_records(file: Path) -> list[dict]:  # type: ignore[type-arg]
    """Everything in a run's ``.wandb`` file, as W&B's own reader tells it."""
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)],
        env={**os.environ, "WANDB_MODE": "offline"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _of(records: list[dict], kind: str) -> list[dict]:  # type: ignore[type-arg]
    return [record[kind] for record in records if record["type"] == kind]


def _summary(records: list[dict]) -> dict[str, Any]:  # type: ignore[type-arg]
    summary: dict[str, Any] = {}
    for part in _of(records, "summary"):
        summary |= part["update"]
    return summary


def test_both_loggers_at_once(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = nin_exp("train", *TINY, "logger=[wandb,tensorboard]", "study=mine")
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "runs" / "mine").glob("*/record.json")
    record = Record.read(path.parent)
    (offline,) = path.parent.rglob("*.wandb")
    records = _wandb_records(offline)
    (run,) = _of(records, "run")
    assert run["run_group"] == "mine"
    assert set(run["tags"]) >= {"digits", "nin_bn", "fc", "sgd"}
    assert run["config"]["update"]["trainer"]["max_epochs"] == 2
    assert run["job_type"] == "train"
    assert run["display_name"] == "digits seed 0"
    assert "train dataset=digits" in run["notes"]
    steps = [history["item"] for history in _of(records, "history")]
    assert [step["epoch"] for step in steps if "val/acc" in step] == [1, 2]
    with (path.parent / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for step, row in zip(steps, rows, strict=False):
        expected = {name: float(value) for name, value in row.items()}
        assert {name: step[name] for name in row} == pytest.approx(expected)
    defined = {metric["name"]: metric for metric in _of(records, "metric") if "name" in metric}
    assert defined["val/acc"]["summary"]["max"]
    assert defined["val/loss"]["summary"]["min"]
    assert defined["val/acc"]["step_metric"] == "epoch"
    (files,) = [step["class_maps.filenames"] for step in steps if "class_maps.filenames" in step]
    assert len(files) == 8
    for name in files:
        with Image.open(offline.parent / "files" / name) as picture:
            assert picture.size == (256, 128)
            assert len(picture.getcolors(1 << 16) or []) > 8
    (table,) = (offline.parent / "files").rglob("confusion_matrix_table*.json")
    cells = json.loads(table.read_text())["data"]
    with np.load(path.parent / "predictions.npz") as kept:
        predicted, labels = kept["test_logits"].argmax(1), kept["test_labels"]
    names = json.loads((path.parent / "input.json").read_text())["class_names"]
    for actual, answer, count in cells:
        expected = ((labels == names.index(actual)) & (predicted == names.index(answer))).sum()
        assert count == expected, (actual, answer)
    assert sum(count for _, _, count in cells) == len(labels)
    found = _summary(records)
    expected = {name: value for name, value in record.metrics.items() if name.startswith(("test/", "gap/"))}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert [end.get("exit_code", 0) for end in _of(records, "exit")] == [0]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = {p.parent for p in path.parent.rglob("events.out.tfevents*")}
    reader = EventAccumulator(str(events))
    reader.Reload()
    for name in rows[0].keys() - {"epoch"}:
        expected_curve = [(int(row["epoch"]), pytest.approx(float(row[name]), rel=1e-6)) for row in rows]
        assert [(event.step, event.value) for event in reader.Scalars(name)] == expected_curve, name
    assert reader.Scalars("final/test/acc")[0].value == pytest.approx(record.metrics["test/acc"])


def test_a_failed_run_is_not_shown_as_finished(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = nin_exp("train", *TINY, "logger=wandb", "backbone=nin", "optimizer.lr=1e9", "schedule=constant")
    assert done.returncode == 7, done.stderr
    (offline,) = (tmp_path / "runs").rglob("*.wandb")
    assert [end["exit_code"] for end in _of(_wandb_records(offline), "exit")] == [7]


@pytest.fixture(scope="module")
def servers(module_of: Callable[[Path], ModuleType]) -> ModuleType:
    return module_of(Path(__file__).with_name("wandb_servers.py"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The run directory of the same run without a logger, and how long it took."""
    start = time.monotonic()
    folder = tmp_path_factory.mktemp("undisturbed")
    command = [sys.executable, "-m", "nin_exp", "train", *TINY, "study=mine"]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(REPO / "src")}, check=True)
    (path,) = folder.glob("runs/mine/*/record.json")
    return path.parent, time.monotonic() - start


def _same_results(run_dir: Path, other: Path) -> None:
    """Byte by byte where times play no part."""
    for name in ("metrics.csv", "per_class.json", "checkpoints/best.ckpt"):
        assert (run_dir / name).read_bytes() == (other / name).read_bytes(), name
    for name in ("predictions.npz", "class_maps.npz"):
        with np.load(run_dir / name) as one, np.load(other / name) as two:
            assert one.files == two.files
            assert all(np.array_equal(one[key], two[key]) for key in one.files), name
    assert Record.read(run_dir).metrics == Record.read(other).metrics


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("refuse", "auto"),
        ("hang", "auto"),
        ("error", "auto"),
        ("late", "auto"),
        ("refuse", "online"),
        ("hang", "online"),
        ("breaks", "auto"),
        ("stalls", "auto"),
    ],
)
def test_a_bad_server_costs_a_run_nothing(  # type: ignore[no-untyped-def]
    nin_exp, servers: ModuleType, undisturbed: tuple[Path, float], tmp_path: Path, kind: str, mode: str
) -> None:
    """The run's own files are those of a run without a logger; what the server did not take is kept for ``sync``."""
    start = time.monotonic()
    with servers.BadServer(kind) as server:
        options = ["logger=wandb", f"logger.wandb.mode={mode}", "logger.wandb.entity=me", "study=mine"]
        done = nin_exp("train", *TINY, *options, timeout=800, **server.environment)
    assert done.returncode == 0, done.stderr
    other, seconds = undisturbed
    assert time.monotonic() - start < 60 + 3 * seconds  # what a server may take, and a busy machine
    assert (server.requests == []) == (kind == "refuse")
    (path,) = (tmp_path / "runs" / "mine").glob("*/record.json")
    _same_results(path.parent, other)
    files = {kept.parent.name.startswith("offline-run"): kept for kept in path.parent.rglob("*.wandb")}
    if mode == "online":
        assert "WandbMirror failed to start" in (path.parent / "log.txt").read_text()
        return
    was_taken = kind in ("breaks", "stalls")
    if was_taken:  # the run was online, and the server broke behind it
        assert any("file_stream" in request for request in server.requests)
    records = _wandb_records(files[not was_taken])
    with (path.parent / "metrics.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    steps = [history["item"] for history in _of(records, "history")]
    assert [{name: step[name] for name in rows[0]} for step in steps if "val/acc" in step] == [
        pytest.approx(row) for row in rows
    ]
    assert _summary(records)["test/acc"] == pytest.approx(Record.read(path.parent).metrics["test/acc"])
    assert {end.get("exit_code", 0) for end in _of(records, "exit")} == {0}


@pytest.mark.slow
def test_a_plan_ends_with_its_tables(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    arms = [text for text in TINY if not text.startswith("head=")]
    done = nin_exp("compare", *arms, "head=gap,fc", "seeds=2", "logger=wandb", "study=mine")
    assert done.returncode == 0, done.stderr
    study_dir = tmp_path / "runs" / "mine"
    found = [_wandb_records(file) for file in study_dir.rglob("*.wandb")]
    runs = [_of(records, "run")[0] for records in found]
    assert {run["run_group"] for run in runs} == {"mine"}
    assert sorted(run["job_type"] for run in runs) == ["fc", "fc", "gap", "gap", "result"]
    result = next(records for records, run in zip(found, runs, strict=True) if run["job_type"] == "result")
    summary = _summary(result)
    contrast = json.loads((study_dir / "report" / "results.json").read_text())["contrasts"][0]
    assert summary["verdict/fc/digits"] == contrast["verdict"]
    (table,) = study_dir.glob("wandb/offline-run-*/files/media/table/differences*.json")
    (row,) = json.loads(table.read_text())["data"]
    assert row[:2] == ["fc", "digits"]


@pytest.mark.parametrize(("study", "start"), [("a b#1?", "a_b_1_-"), ("x" * 120, "x" * 100 + "-")])
def test_ids_stay_apart_and_are_taken(study: str, start: str) -> None:
    assert wandb_id(study, "0123456789ab") == f"{start}0123456789ab"


class _Broken(Mirror):
    def __init__(self, method: str) -> None:
        self.method, self.calls = method, []  # type: ignore[var-annotated]

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.method:
            raise RuntimeError("tracker is down")

    def start(self, job: Job, config: dict) -> None:  # type: ignore[type-arg]
        self._call("start")

    def log(self, metrics: dict[str, float], epoch: int) -> None:
        self._call("log")

    def finish(self, summary: dict, exit_code: int) -> None:  # type: ignore[type-arg]
        self._call("finish")


@pytest.mark.parametrize("method", ["start", "log", "finish"])
def test_a_broken_mirror_is_dropped_with_one_warning(method: str, caplog: pytest.LogCaptureFixture) -> None:
    broken, sound = _Broken(method), _Broken("nothing")
    mirrors = Mirrors([broken, sound])
    mirrors.start(None, {})  # type: ignore[arg-type]
    mirrors.log({}, 1)
    mirrors.log({}, 2)
    mirrors.finish({}, 0)
    assert sound.calls == ["start", "log", "log", "finish"]
    assert broken.calls[-1] == method
    assert len(caplog.records) == 1
    assert "tracker is down" in caplog.text


def test_no_answer_means_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key, and a server that does not answer, a run logs offline instead of waiting."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    assert not WandbMirror(project="p", entity=None, mode="auto", tags=[])._is_online()
    monkeypatch.delenv("WANDB_API_KEY")
    assert not WandbMirror(project="p", entity=None, mode="auto", tags=[])._is_online()
    assert WandbMirror(project="p", entity=None, mode="online", tags=[])._is_online()
