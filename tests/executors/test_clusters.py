"""Plans on a real Ray, and on a SLURM of this machine through submitit: nodes die, jobs are preempted."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nin_exp.records.record import Record
from nin_exp.records.study import Study

_spec = importlib.util.spec_from_file_location("fake_slurm", Path(__file__).with_name("fake_slurm.py"))
fake_slurm = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_slurm)

REPO = Path(__file__).resolve().parents[2]
TINY = [
    "dataset=digits", "backbone=nin_bn", "backbone.width=0.1", "trainer.batch_size=128", "trainer.threads=1",
    "evaluation.panel=20", "study=s", "head=gap,fc", "seeds=2",
]  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "nin_exp", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPO / "src"), **environment}, text=True,
    )  # fmt: skip


def results(study: Path) -> dict[str, bytes]:
    """What must be equal however and wherever the jobs ran."""
    names = ("metrics.csv", "predictions.npz", "checkpoints/best.ckpt")
    return {f"{j.job_id}/{n}": (study / j.job_id / n).read_bytes() for j in Study.read(study).jobs for n in names}


def wait_for(process: subprocess.Popen[str], condition, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the plan ended too early"
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def epochs(study: Path) -> int:
    """Epochs that all jobs of a study have ended."""
    rows = [len(path.read_text().splitlines()) - 1 for path in study.glob("*/metrics.csv")]
    return sum(rows)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plan, undisturbed, by the local executor."""
    folder = tmp_path_factory.mktemp("local")
    process = start(folder, "compare", *TINY, "trainer.max_epochs=12")
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    return folder / "runs" / "s"


RAY_CLUSTER = """
import sys
from ray.cluster_utils import Cluster
settings = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **settings})
nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20) for _ in range(2)]
print("address", cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
cluster.shutdown()
"""


@pytest.fixture
def cluster() -> Iterator[tuple[str, Callable[[], None]]]:
    """Ray's address, with a head without cores and two nodes of one core each; and what kills a node."""
    pytest.importorskip("ray", reason="needs nin-exp[ray]")
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    with subprocess.Popen(
        [sys.executable, "-c", RAY_CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        address = next(line.split()[1] for line in process.stdout if line.startswith("address "))

        def kill_a_node() -> None:
            process.stdin.write("kill\n")
            process.stdin.flush()

        yield address, kill_a_node
        process.stdin.close()
        process.stdout.read()


def test_a_ray_node_dies_and_every_job_is_done_once(tmp_path: Path, local: Path, cluster) -> None:
    address, kill_a_node = cluster
    process = start(
        tmp_path / "w", "compare", *TINY, "trainer.max_epochs=12", "executor=ray", f"executor.address={address}"
    )
    study = tmp_path / "w" / "runs" / "s"
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.extend(process.communicate(timeout=600)))
    reader.start()
    wait_for(process, lambda: len(list(study.glob("*/metrics.csv"))) == 2 and epochs(study) >= 4)
    kill_a_node()
    reader.join()
    assert process.returncode == 0, output
    records = [Record.read(study / job.job_id) for job in Study.read(study).jobs]
    assert [r.status for r in records] == ["done"] * 4
    assert results(study) == results(local)
    logs = [(study / r.job_id / "log.txt").read_text() for r in records]
    assert sum("going on from epoch" in text for text in logs) == 1


def test_ctrl_c_lets_the_jobs_of_a_ray_that_was_started_here_save(tmp_path: Path, local: Path) -> None:
    pytest.importorskip("ray", reason="needs nin-exp[ray]")
    arguments = ["compare", *TINY, "trainer.max_epochs=12", "executor=ray"]
    process = start(tmp_path / "w", *arguments)
    study = tmp_path / "w" / "runs" / "s"
    wait_for(process, lambda: epochs(study) >= 3)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert "the same command goes on" in error
    assert not list(study.glob("*/.lock"))
    process = start(tmp_path / "w", *arguments)
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    assert results(study) == results(local)


def test_what_no_ray_node_has_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs nin-exp[ray]")
    cores = os.cpu_count() or 1
    arguments = ["trainer.max_epochs=1", "executor=ray", f"executor.cpus_per_job={cores + 1}"]
    process = start(tmp_path / "w", "compare", *TINY, *arguments)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    message = f"executor.cpus_per_job must be at most what one node has ({cores}), got {cores + 1}; lower it"
    assert message in error
    process = start(tmp_path / "w", "compare", *TINY, "executor=ray", "executor.address=127.0.0.1:1")
    _, error = process.communicate(timeout=240)
    assert process.returncode == 2
    assert "executor.address must name a Ray cluster that runs, got 127.0.0.1:1" in error


@pytest.mark.parametrize("where", ["local", "ray", "slurm"])
def test_a_search_with_two_ranks_a_trial_prunes_by_epochs(tmp_path: Path, where: str) -> None:
    """The first trial learns, the others do not: they are ended long before their last epoch."""
    if where == "ray":
        pytest.importorskip("ray", reason="needs nin-exp[ray]")
    environment = fake_slurm.install(tmp_path / "slurm") if where == "slurm" else {}
    arguments = [
        "tune", "dataset=digits", "backbone=nin", "backbone.width=0.1", "backbone.dropout=0", "study=s", "trainer=ddp",
        "trainer.accelerator=cpu", "trainer.max_epochs=40", "optimizer.lr=0.05,1e-7,1e-8", "schedule=constant",
        "tune.sampler=grid", "tune.sampler_seed=3", "tune.pruner=asha", "tune.reduction_factor=2", f"executor={where}",
    ]  # fmt: skip
    one_at_a_time = ["executor.cpus_per_job=2", "executor.parallel_jobs=1"] if where == "slurm" else []
    process = start(tmp_path / "w", *arguments, *one_at_a_time, **environment)
    output, error = process.communicate(timeout=800)
    assert process.returncode == 0, error
    assert "1 done, 2 pruned" in output
    study = tmp_path / "w" / "runs" / "s"
    records = [Record.read(study / job.job_id) for job in Study.read(study).jobs]
    assert sorted(r.status for r in records) == ["done", "pruned", "pruned"]
    assert [r.devices for r in records if r.status == "done"] == [2]
    assert max(r.epochs for r in records if r.status == "pruned") < 40
    assert not list(study.glob("*/.lock"))


def test_preempted_slurm_jobs_are_queued_again_and_go_on(tmp_path: Path, local: Path) -> None:
    environment = fake_slurm.install(tmp_path / "slurm")
    state = Path(environment["FAKE_SLURM_DIR"])
    arguments = ["compare", *TINY, "trainer.max_epochs=12", "executor=slurm", "executor.cpus_per_job=1"]
    process = start(tmp_path / "w", *arguments, "executor.parallel_jobs=2", **environment)
    study = tmp_path / "w" / "runs" / "s"
    wait_for(process, lambda: len(list(study.glob("*/metrics.csv"))) == 2 and epochs(study) >= 4)
    first, second = fake_slurm.task_folders(state)[:2]
    fake_slurm.signal_task(first, signal.SIGUSR2)
    fake_slurm.signal_task(second, signal.SIGUSR1)
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    assert results(study) == results(local)
    assert [int((f / "starts").read_text()) for f in fake_slurm.task_folders(state)] == [2, 2, 1, 1]
    logs = [(study / job.job_id / "log.txt").read_text() for job in Study.read(study).jobs]
    assert sum("going on from epoch" in text for text in logs) == 2


def test_a_killed_command_finds_its_slurm_jobs_again(tmp_path: Path) -> None:
    environment = fake_slurm.install(tmp_path / "slurm")
    state = Path(environment["FAKE_SLURM_DIR"])
    arguments = ["compare", *TINY, "trainer.max_epochs=6", "executor=slurm", "executor.cpus_per_job=1"]
    process = start(tmp_path / "w", *arguments, "executor.parallel_jobs=1", **environment)
    study = tmp_path / "w" / "runs" / "s"
    wait_for(process, lambda: epochs(study) >= 1)
    process.kill()
    process.communicate()
    process = start(tmp_path / "w", *arguments, "executor.parallel_jobs=1", **environment)
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    assert len(list(study.glob("*/record.json"))) == 4
    assert len(list(state.glob("batch-*.sh"))) == 1, "nothing was submitted twice"


def test_what_a_killed_command_left_in_slurms_queue_is_cancelled(tmp_path: Path) -> None:
    environment = fake_slurm.install(tmp_path / "slurm")
    state = Path(environment["FAKE_SLURM_DIR"])
    arguments = ["compare", *TINY, "trainer.max_epochs=5000", "executor=slurm", "executor.cpus_per_job=1"]
    process = start(tmp_path / "w", *arguments, "executor.parallel_jobs=1", **environment)
    study = tmp_path / "w" / "runs" / "s"
    wait_for(process, lambda: epochs(study) >= 1)
    process.kill()
    process.communicate()
    cancel = start(tmp_path / "w", "cancel", "s", **environment)
    output, error = cancel.communicate(timeout=120)
    assert cancel.returncode == 0, error
    assert "asked SLURM to cancel 4 jobs" in output
    assert {(folder / "state").read_text() for folder in fake_slurm.task_folders(state)} == {"CANCELLED"}
    deadline = time.monotonic() + 60
    while list(study.glob("*/.lock")):
        assert time.monotonic() < deadline, "a job still trains"
        time.sleep(0.1)
    assert len(list(study.glob("*/checkpoints/last.ckpt"))) == 1


def test_a_login_node_is_asked_for(tmp_path: Path) -> None:
    process = start(tmp_path / "w", "compare", *TINY, "executor=slurm")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "executor=slurm needs SLURM's commands, and sbatch is not on PATH" in error
