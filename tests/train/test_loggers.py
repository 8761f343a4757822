"""Mirrors: what W&B and TensorBoard really hold afterwards, and that nothing they do harms a run."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nin_exp.contracts.mirror import Mirror
from nin_exp.records.job import Job
from nin_exp.records.record import Record
from nin_exp.train.loggers import Mirrors, WandbMirror, wandb_id

TINY = [
    "dataset=digits",
    "backbone=nin_bn",
    "backbone.width=0.1",
    "trainer.max_epochs=2",
    "trainer.threads=1",
    "head=fc",
]


def _wandb_records(file: Path) -> list[dict]:  # type: ignore[type-arg]
    """Everything in an offline file: a LevelDB log (blocks of 32 KiB, checked pieces) of wandb's own messages.

    wandb 0.31 reads them in its Go part only.
    """
    from google.protobuf.json_format import MessageToDict
    from wandb.proto import wandb_internal_pb2

    data = file.read_bytes()
    assert data[:4] == b":W&B"
    position, pieces, found = 7, b"", []
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # no header fits at a block's end
            position += 32768 - position % 32768
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        pieces += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(pieces)
            found.append(MessageToDict(record, preserving_proto_field_name=True))
            pieces = b""
    return found


def _items(history: dict) -> list[tuple[str, object]]:  # type: ignore[type-arg]
    return [(i.get("key") or "/".join(i.get("nested_key", [])), json.loads(i["value_json"])) for i in history["item"]]


def test_both_loggers_at_once(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = nin_exp("train", *TINY, "logger=[wandb,tensorboard]", "study=mine")
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "runs" / "mine").glob("*/record.json")
    record = Record.read(path.parent)
    (offline,) = path.parent.rglob("*.wandb")
    records = _wandb_records(offline)
    (run,) = [r["run"] for r in records if "run" in r]
    assert run["run_group"] == "mine"
    assert set(run["tags"]) >= {"digits", "nin_bn", "fc", "sgd"}
    config = {u["key"]: json.loads(u["value_json"]) for u in run["config"]["update"]}
    assert config["trainer"]["max_epochs"] == 2
    assert run["job_type"] == "train"
    assert run["display_name"] == "digits seed 0"
    assert "train dataset=digits" in run["notes"]
    steps = [dict(_items(r["history"])) for r in records if "history" in r]
    assert [step["epoch"] for step in steps if "val/acc" in step] == [1, 2]
    curve = [step["val/acc"] for step in steps if "val/acc" in step]
    rows = (path.parent / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("val/acc")
    assert curve == [pytest.approx(float(row.split(",")[column])) for row in rows[1:]]
    defined = {r["metric"]["name"]: r["metric"] for r in records if "metric" in r and "name" in r["metric"]}
    assert defined["val/acc"]["summary"]["max"]
    assert defined["val/loss"]["summary"]["min"]
    (files,) = [step["class_maps/filenames"] for step in steps if "class_maps/filenames" in step]
    assert len(files) == 8  # type: ignore[arg-type]
    for name in files:  # type: ignore[attr-defined]
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
    summary = {}
    for entry in records:
        for item in entry.get("summary", {}).get("update", []):
            summary[item.get("key") or "/".join(item.get("nested_key", []))] = json.loads(item["value_json"])
    assert summary["test/acc"] == pytest.approx(record.metrics["test/acc"])
    (exit_record,) = [r["exit"] for r in records if "exit" in r]
    assert exit_record.get("exit_code", 0) == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = {p.parent for p in path.parent.rglob("events.out.tfevents*")}
    reader = EventAccumulator(str(events))
    reader.Reload()
    assert [e.step for e in reader.Scalars("val/acc")] == [1, 2]


def test_a_failed_run_is_not_shown_as_finished(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = nin_exp("train", *TINY, "logger=wandb", "backbone=nin", "optimizer.lr=1e9", "schedule=constant")
    assert done.returncode == 7, done.stderr
    (offline,) = (tmp_path / "runs").rglob("*.wandb")
    (exit_record,) = [r["exit"] for r in _wandb_records(offline) if "exit" in r]
    assert exit_record["exit_code"] == 7


class _Server(threading.Thread):
    """A loopback server where W&B should be: ``error`` answers 500, ``late`` to POST alone; ``hang`` says nothing."""

    def __init__(self, kind: str) -> None:
        super().__init__(daemon=True)
        self.kind, self.num_connections = kind, 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        if kind == "refuse":
            self._socket.close()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.num_connections += 1
            self._open.append(connection)
            if self.kind in ("error", "late"):
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while request := connection.recv(65536):
                status = (
                    b"200 OK" if self.kind == "late" and request.startswith(b"GET") else b"500 Internal Server Error"
                )
                connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    def stop(self) -> None:
        for one in (self._socket, *self._open):
            one.close()


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("refuse", "auto"),
        ("hang", "auto"),
        ("error", "auto"),
        ("late", "auto"),
        ("refuse", "online"),
        ("hang", "online"),
    ],
)
def test_a_bad_server_costs_a_run_nothing(nin_exp, tmp_path: Path, kind: str, mode: str) -> None:  # type: ignore[no-untyped-def]
    server = _Server(kind)
    if kind != "refuse":
        server.start()
    url = f"http://127.0.0.1:{server.port}"
    start = time.monotonic()
    try:
        done = nin_exp(
            "train", *TINY, "logger=wandb", f"logger.wandb.mode={mode}", "study=mine", timeout=180,
            WANDB_BASE_URL=url, WANDB_API_KEY="0" * 40, WANDB_MODE="online",
        )  # fmt: skip
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 120
    assert kind == "refuse" or server.num_connections > 0
    (path,) = (tmp_path / "runs" / "mine").glob("*/record.json")
    record = Record.read(path.parent)
    assert record.status == "done"
    assert len((path.parent / "metrics.csv").read_text().splitlines()) == 3
    for name in ("predictions.npz", "class_maps.npz", "checkpoints/best.ckpt", "log.txt"):
        assert (path.parent / name).is_file(), name
    offline = [file for file in path.parent.rglob("*.wandb") if "offline-run" in str(file.parent)]
    if mode == "auto":  # what the server did not take is kept for `wandb sync`
        (file,) = offline
        assert [r["exit"].get("exit_code", 0) for r in _wandb_records(file) if "exit" in r] == [0]
    else:
        assert "WandbMirror failed to start" in (path.parent / "log.txt").read_text()


@pytest.mark.slow
def test_a_plan_ends_with_its_tables(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    arms = [text for text in TINY if not text.startswith("head=")]
    done = nin_exp("compare", *arms, "head=gap,fc", "seeds=2", "logger=wandb", "study=mine")
    assert done.returncode == 0, done.stderr
    study_dir = tmp_path / "runs" / "mine"
    found = [_wandb_records(file) for file in study_dir.rglob("*.wandb")]
    runs = [next(r["run"] for r in records if "run" in r) for records in found]
    assert {run["run_group"] for run in runs} == {"mine"}
    assert sorted(run["job_type"] for run in runs) == ["fc", "fc", "gap", "gap", "result"]
    result = next(records for records, run in zip(found, runs, strict=True) if run["job_type"] == "result")
    summary = {
        i["key"]: json.loads(i["value_json"])
        for r in result
        for i in r.get("summary", {}).get("update", [])
        if "key" in i
    }
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
