"""Plans under way: GPUs dealt out, cancelled, limited, stopped at failures, out of memory, killed at any moment."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.errors import StorageError
from nin_exp.executors.demand import Demand
from nin_exp.executors.feed import ListFeed
from nin_exp.executors.local import LocalExecutor
from nin_exp.executors.running import RUNNING_DIR, cancel_study
from nin_exp.plan.expand import plan_single
from nin_exp.records.files import write_json
from nin_exp.records.job import Job
from nin_exp.records.processes import (
    PROCESS_FILE,
    ProcessId,
    recall_process,
    remember_process,
    send_signal,
    this_process,
)
from nin_exp.records.record import Record

REPO = Path(__file__).resolve().parents[2]
TINY = [
    "dataset=digits", "backbone=nin_bn", "backbone.width=0.1", "trainer.max_epochs=2", "trainer.batch_size=128",
    "evaluation.panel=20", "study=s",
]  # fmt: skip
WORKER = re.compile(r"(\S+) WORKER (started|ended): (.*)")


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process  # type: ignore[misc]
    process.kill()
    process.wait()


def identity(process: subprocess.Popen[bytes]) -> ProcessId:
    started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ProcessId(process.pid, f"{boot}/{started}", socket.gethostname())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_only_the_process_that_was_meant_is_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    """The same number with another start is another process, as after the number was given again."""
    meant = identity(sleeper)
    assert meant.is_alive
    later = replace(meant, started=meant.started[:-1] + ("0" if meant.started[-1] != "0" else "1"))
    assert not send_signal(later, signal.SIGTERM)
    assert not send_signal(replace(meant, host="elsewhere"), signal.SIGTERM)
    assert sleeper.poll() is None
    assert send_signal(meant, signal.SIGTERM)
    assert sleeper.wait(10) == -signal.SIGTERM
    assert not meant.is_alive
    assert not send_signal(meant, signal.SIGTERM)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_cancel_reaches_plans_and_orphans_but_no_strangers(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    stranger = replace(identity(sleeper), started="before this boot/1")
    write_json(tmp_path / RUNNING_DIR / "old.json", asdict(stranger))
    write_json(tmp_path / "job" / PROCESS_FILE, asdict(stranger))
    write_json(tmp_path / RUNNING_DIR / "far.json", asdict(replace(stranger, host="far")))
    (tmp_path / RUNNING_DIR / "torn.json").write_text('{"pid": 1')
    found = cancel_study(tmp_path, patience=1)
    assert (found.plans, found.jobs, found.elsewhere, found.alive) == (0, 0, ("far",), ())
    assert sleeper.poll() is None
    assert sorted(p.name for p in (tmp_path / RUNNING_DIR).iterdir()) == ["far.json"]
    write_json(tmp_path / "job" / PROCESS_FILE, asdict(identity(sleeper)))
    found = cancel_study(tmp_path, patience=10)
    assert (found.plans, found.jobs, found.alive) == (0, 1, ())
    assert sleeper.wait(1) == -signal.SIGTERM


def test_a_process_remembers_itself(tmp_path: Path) -> None:
    remember_process(tmp_path / "p.json")
    assert recall_process(tmp_path / "p.json") == this_process()
    assert this_process().is_alive
    assert recall_process(tmp_path / "none.json") is None


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    command = [sys.executable, "-m", "nin_exp", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def worker_lines(study: Path) -> dict[str, list[tuple[str, str, str]]]:
    """(time, what, details) of each job, from its log."""
    logs = {log.parent.name: log.read_text() for log in study.glob("*/log.txt")}
    return {job: [m.groups() for m in map(WORKER.match, text.splitlines()) if m] for job, text in logs.items()}


@pytest.mark.slow
def test_eight_jobs_on_four_gpus(tmp_path: Path, nin_exp) -> None:  # type: ignore[no-untyped-def]
    """Each job sees one GPU, and no two jobs see the same one at the same time. The GPUs need not exist."""
    done = nin_exp("train", "-m", *TINY, "seeds=8", "trainer.max_epochs=1", "executor.gpus=[0,1,2,3]")
    assert done.returncode == 0, done.stderr
    spans = []
    for lines in worker_lines(tmp_path / "runs" / "s").values():
        (begin, _, details), (end, _, ending) = lines
        assert ending == "exit code 0"
        spans.append((begin, end, details.split("CUDA_VISIBLE_DEVICES ")[1]))
    assert len(spans) == 8
    assert {gpu for _, _, gpu in spans} == {"0", "1", "2", "3"}
    for gpu in "0123":
        mine = sorted(span for span in spans if span[2] == gpu)
        assert len(mine) >= 1
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(mine))


@pytest.mark.slow
def test_cancel_stops_a_plan_and_the_command_goes_on(tmp_path: Path, nin_exp) -> None:  # type: ignore[no-untyped-def]
    arguments = ["train", "-m", *TINY, "trainer.max_epochs=6", "seeds=2", "executor.workers=1"]
    plan = start(tmp_path, *arguments)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/s/*/metrics.csv")) and time.monotonic() < deadline:
        time.sleep(0.1)
    cancelled = nin_exp("cancel", "s", "--json")
    assert cancelled.returncode == 0, cancelled.stderr
    assert json.loads(cancelled.stdout)["plans"] == 1
    plan.communicate(timeout=30)
    assert plan.returncode == 143
    assert not list(tmp_path.glob("runs/s/*/.process.json"))
    assert not (tmp_path / "runs" / "s" / RUNNING_DIR).exists()
    assert len(list(tmp_path.glob("runs/s/*/record.json"))) < 2
    again = nin_exp(*arguments)
    assert again.returncode == 0, again.stderr
    assert len(list(tmp_path.glob("runs/s/*/record.json"))) == 2
    nothing = nin_exp("cancel")
    assert nothing.returncode == 0
    assert "nothing of runs/s runs on this machine" in nothing.stdout


@pytest.mark.slow
def test_two_plans_of_one_study_share_its_jobs(tmp_path: Path) -> None:
    """Each epoch of each job is trained once, and both plans end well."""
    arguments = ["train", "-m", *TINY, "trainer.max_epochs=4", "seeds=3", "executor.workers=1"]
    plans = [start(tmp_path, *arguments), start(tmp_path, *arguments)]
    for plan in plans:
        _, error = plan.communicate(timeout=240)
        assert plan.returncode == 0, error
    records = list(tmp_path.glob("runs/s/*/record.json"))
    assert len(records) == 3
    for record in records:
        assert Record.read(record.parent).status == "done"
        text = (record.parent / "log.txt").read_text()
        assert [text.count(f" epoch={number} ") for number in range(1, 5)] == [1] * 4


class Failing(ListFeed):
    """Cannot go on once its job has an epoch behind it."""

    def __init__(self, job: Job) -> None:
        super().__init__([job], lambda job: None, lambda outcome: None, lambda: None)
        self._metrics = job.run_dir / "metrics.csv"

    def on_tick(self) -> None:
        if self._metrics.is_file():
            raise StorageError("the disk is full")


@pytest.mark.slow
def test_a_plan_that_cannot_go_on_lets_its_jobs_save(tmp_path: Path) -> None:
    """Else the plan would wait for its jobs' ends, which are far away."""
    texts = [*TINY, f"runs_dir={tmp_path}", "trainer.max_epochs=5000"]
    plan = plan_single(Composer((shipped_config_dir(),)), texts, "")
    settings = {key: value for key, value in plan.config.executor.items() if key != "_target_"}
    executor = LocalExecutor(Demand(1, use_gpus=False), **settings)
    with pytest.raises(StorageError, match="the disk is full"):
        executor.run_feed(Failing(plan.jobs[0]))
    run_dir = plan.jobs[0].run_dir
    assert (run_dir / "checkpoints" / "last.ckpt").is_file()
    assert not (run_dir / ".lock").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sets a limit of Linux's shells")
def test_a_full_disk_is_exit_code_6_of_the_job(tmp_path: Path) -> None:
    """No file may be larger than 24 KiB: checkpoints do not fit, and everything smaller does."""
    command = shlex.join([sys.executable, "-m", "nin_exp", "train", "-m", *TINY, "seeds=2"])
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 24; exec {command}"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(REPO / "src")},
    )  # fmt: skip
    assert done.returncode == 6, done.stderr  # the report does not fit either
    assert done.stderr.count("failed: ") == 2
    records = [Record.read(path.parent) for path in tmp_path.glob("runs/s/*/record.json")]
    assert [(r.status, r.exit_code) for r in records] == [("failed", 6)] * 2
    assert all("cannot be written" in (r.error or "") for r in records)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
def test_parts_of_a_plan(tmp_path: Path, nin_exp) -> None:  # type: ignore[no-untyped-def]
    """--limit and --only leave the rest for later; a failure can end the plan; the plan is the same throughout."""
    arguments = [
        "train",
        "-m",
        *TINY,
        "trainer.max_epochs=1",
        "head=gap,fc",
        "optimizer.lr=0.05,1e30",
        "schedule=constant",
    ]
    one = nin_exp(*arguments, "--limit", "1")
    assert one.returncode == 0, one.stderr
    assert "3 jobs were left out by --only or --limit" in one.stderr
    only = nin_exp(*arguments, "--only", "fc, optimizer.lr=0.05*")
    assert only.returncode == 0, only.stderr
    records = [Record.read(p.parent) for p in (tmp_path / "runs" / "s").glob("*/record.json")]
    assert sorted((r.head, r.status) for r in records) == [("fc", "done"), ("gap", "done")]
    fast = nin_exp(*arguments, "--fail-fast", "executor.workers=1")
    assert fast.returncode == 9, fast.stderr
    assert "ended after 1 failures with 1 jobs left" in fast.stderr
    assert len(list((tmp_path / "runs" / "s").glob("*/record.json"))) == 3


@pytest.mark.slow
def test_too_large_a_network_is_out_of_memory(tmp_path: Path, nin_exp) -> None:  # type: ignore[no-untyped-def]
    """More weights than any machine can address: exit code 8 in the job's record, and the others are done."""
    done = nin_exp("train", "-m", *TINY, "trainer.max_epochs=1", "backbone.width=0.1,100000")
    assert done.returncode == 9, done.stderr
    records = [Record.read(p.parent) for p in (tmp_path / "runs" / "s").glob("*/record.json")]
    assert sorted(r.exit_code for r in records) == [0, 8]


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_plan_killed_at_any_moment_gives_the_same_bytes() -> None:
    """Six jobs, five kills of everything that runs."""
    if sys.platform != "linux":
        pytest.skip("finds processes in /proc")
    script = REPO / "benchmarks" / "kill_plan.py"
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    done = subprocess.run(
        [sys.executable, str(script), "--small", "--seconds", "2"],
        env=environment, capture_output=True, text=True, timeout=270, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 jobs done" in done.stdout
    assert "kill 3" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_job_outlives_a_plan_that_is_killed(tmp_path: Path) -> None:
    """Also long jobs, of which none ends by itself: the fork server does not end before they do."""
    process = start(tmp_path, "train", "-m", *TINY, "trainer.max_epochs=5000", "seeds=2", "executor.workers=2")
    study = tmp_path / "runs" / "s"
    deadline = time.monotonic() + 120
    while len(list(study.glob("*/metrics.csv"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while list(study.glob("*/.lock")):
        assert time.monotonic() < deadline, "a job still trains"
        time.sleep(0.1)
    assert len(list(study.glob("*/checkpoints/last.ckpt"))) == 2
