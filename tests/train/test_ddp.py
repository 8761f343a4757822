"""Several ranks in one job: the same training as with one, one run directory, and ends that leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nin_exp.records.record import Record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes by /proc, which Linux has"),
]
REPO = Path(__file__).resolve().parents[2]
DDP = [
    "trainer=ddp", "trainer.accelerator=cpu", "trainer.threads=2", "dataset=digits", "dataset.train_limit=150",
    "backbone=nin", "backbone.width=0.05", "backbone.dropout=0", "optimizer.lr=0.05", "augment=translate",
    "trainer.batch_size=33", "evaluation.panel=5", "schedule=constant",
]  # fmt: skip
"""Five steps an epoch; the ranks' parts are 16 and 17 images, of the last batch 9 and 9."""
ENDLESS = [*DDP, "trainer.max_epochs=100000"]


class Commands:
    """Runs ``nin-exp`` in a folder; whatever a command has started can be found by its environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []
        self.mark = f"NIN_EXP_TEST={uuid.uuid4().hex}"
        name, value = self.mark.split("=")
        paths = os.pathsep.join([str(REPO / "src"), str(folder)])
        self._environment = {**os.environ, "PYTHONPATH": paths, name: value, "NIN_EXP_DATA": str(folder / "data")}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "nin_exp", *arguments],
            cwd=self.folder, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._started.append(process)
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def end(self) -> None:
        """Kill what is left, after a test that has failed."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        for process in self._started:
            process.communicate()

    def processes(self) -> dict[int, str]:
        """Process ids and command lines of all that was started here and still runs."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def ranks(self) -> list[int]:
        """Process ids of ranks, the first rank first."""
        found = {}
        for pid, line in self.processes().items():
            if "distributed.rank" in line:
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                found[int(next(v for v in variables if v.startswith(b"RANK="))[5:])] = pid
        return [pid for _, pid in sorted(found.items())]

    def run_dirs(self, study: str = "*") -> list[Path]:
        return sorted(path.parent for path in (self.folder / "runs").glob(f"{study}/*/config.yaml"))


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    started = Commands(tmp_path)
    yield started
    started.end()


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def wait_for_epochs(commands: Commands, count: int = 1) -> Path:
    """Wait until a run has as many epochs behind it; returns its directory."""

    def has_trained() -> bool:
        files = [folder / "metrics.csv" for folder in commands.run_dirs()]
        return any(file.is_file() and len(file.read_text().splitlines()) > count for file in files)

    wait_for(has_trained, 60, "no epoch ended")
    return commands.run_dirs()[0]


def assert_nothing_left(commands: Commands, seconds: float) -> None:
    wait_for(lambda: not commands.processes(), seconds, f"still running: {commands.processes()}")
    assert not list(commands.folder.rglob("*.tmp"))


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["network"]
    return state


def test_two_ranks_train_as_one_process_does(commands: Commands) -> None:
    """Twenty steps, with parts of unequal size, each computed in three pieces."""
    case = [*DDP, "trainer.max_epochs=4", "evaluation.level=basic"]
    together = commands.run("train", *case, "trainer.accumulate=3", "study=two")
    assert together.returncode == 0, together.stderr
    assert together.stderr == ""
    alone = commands.run("train", *case, "trainer.devices=1", "study=one")
    assert alone.returncode == 0, alone.stderr
    (two,), (one,) = commands.run_dirs("two"), commands.run_dirs("one")
    records = Record.read(two), Record.read(one)
    assert [(r.steps, r.devices, r.device) for r in records] == [(20, 2, "cpu"), (20, 1, "cpu")]
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(two)[name], value, atol=1e-5, rtol=1e-5)
    tables = [np.genfromtxt(run_dir / "metrics.csv", delimiter=",", names=True) for run_dir in (two, one)]
    for name in tables[0].dtype.names:
        np.testing.assert_allclose(tables[0][name], tables[1][name], atol=1e-5, err_msg=name)
    assert records[0].metrics.keys() == records[1].metrics.keys()
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    assert [path.name for path in (commands.folder / "runs").iterdir() if path.name == "two"] == ["two"]
    assert len(list((commands.folder / "runs" / "two").glob("*/record.json"))) == 1


def test_a_killed_rank_ends_the_job(commands: Commands) -> None:
    process = commands.start("train", *ENDLESS)
    run_dir = wait_for_epochs(commands)
    os.kill(commands.ranks()[1], signal.SIGKILL)
    killed = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - killed < 10
    assert process.returncode == 1
    assert err.count("\n") == 1
    assert "nin-exp: error: rank 1 of 2 was ended by SIGKILL" in err
    assert_nothing_left(commands, 5)
    record = Record.read(run_dir)
    assert (record.status, record.exit_code, record.devices) == ("failed", 1, 2)
    assert record.epochs >= 1
    assert record.params_total is not None


def test_interrupted_and_continued_to_the_byte(commands: Commands) -> None:
    # Three ranks: sums of two do not depend on their order. Dropout: each rank has random numbers of its own.
    # Steps are many, so that the stop comes within an epoch.
    case = [
        *DDP, "trainer.devices=3", "trainer.batch_size=4", "trainer.max_epochs=6", "trainer.ema_decay=0.9",
        "backbone.dropout=0.3", "dataset.train_limit=300",
    ]  # fmt: skip
    process = commands.start("train", *case, "study=cut")
    wait_for_epochs(commands, 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "stopped; the same command goes on" in out
    assert err == ""
    assert_nothing_left(commands, 5)
    (cut,) = commands.run_dirs("cut")
    state = torch.load(cut / "checkpoints" / "last.ckpt", weights_only=True)
    assert len(state["ranks"]) == 3
    assert state["progress"]["batch"] > 0
    assert not torch.equal(state["ranks"][0]["cpu_rng"], state["ranks"][1]["cpu_rng"])
    assert commands.run("train", *case, "study=cut").returncode == 0
    assert commands.run("train", *case, "study=whole").returncode == 0
    (whole,) = commands.run_dirs("whole")
    assert "going on from epoch" in (cut / "log.txt").read_text()
    for name in ("metrics.csv", "predictions.npz", "class_maps.npz", "checkpoints/best.ckpt"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    for name, value in weights(whole).items():
        assert torch.equal(weights(cut)[name], value), name


def test_a_grid_of_two_jobs_at_once(commands: Commands) -> None:
    done = commands.run("train", "-m", *DDP, "head=gap,fc", "trainer.max_epochs=2", "executor.workers=2", "study=grid")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (commands.folder / "runs").iterdir()] == ["grid"]
    run_dirs = commands.run_dirs("grid")
    assert sorted(Record.read(run_dir).head for run_dir in run_dirs) == ["fc", "gap"]
    assert [Record.read(run_dir).devices for run_dir in run_dirs] == [2, 2]
    assert_nothing_left(commands, 10)


def test_a_killed_plan_takes_jobs_and_ranks_with_it(commands: Commands) -> None:
    process = commands.start("train", *ENDLESS, "executor=local")
    run_dir = wait_for_epochs(commands)
    assert len(commands.ranks()) == 2
    process.kill()
    assert_nothing_left(commands, 15)
    assert (run_dir / "checkpoints" / "last.ckpt").is_file()


def test_a_killed_job_takes_its_ranks_with_it(commands: Commands) -> None:
    process = commands.start("train", *ENDLESS)
    wait_for(lambda: len(commands.ranks()) == 2, 30, "no ranks")  # they still import
    process.kill()
    assert_nothing_left(commands, 5)


HEAD = '''
import os
import torch
from nin_exp.heads.gap import GAP
class Broken(GAP):
    """Goes wrong on one rank, in its tenth step."""
    steps = 0
    def forward(self, features):
        logits = super().forward(features)
        if self.training and os.environ.get("RANK") == "1":
            Broken.steps += 1
            if Broken.steps == 10:
                {what}
        return logits
'''


@pytest.mark.parametrize(
    ("what", "code", "line"),
    [
        ("raise LookupError('no such tile')", 1, "rank 1 of 2: LookupError: no such tile"),
        ("logits = logits * float('nan')", 7, "the training loss became nan in epoch 2"),
    ],
)
def test_what_goes_wrong_on_one_rank(commands: Commands, what: str, code: int, line: str) -> None:
    package = commands.folder / "brokenheads"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "broken.py").write_text(HEAD.format(what=what))
    done = commands.run(
        "train",
        "--allow-package",
        "brokenheads",
        *DDP,
        "head._target_=brokenheads.broken.Broken",
        "trainer.max_epochs=3",
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"nin-exp: error: {line}" in done.stderr
    assert_nothing_left(commands, 5)
    (run_dir,) = commands.run_dirs()
    assert json.loads((run_dir / "record.json").read_text())["exit_code"] == code
