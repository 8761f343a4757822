"""A small study on disk, half of it still running."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from nin_exp.dashboard.server import DashboardServer
from nin_exp.records.processes import PROCESS_FILE, remember_process
from nin_exp.records.record import Record
from nin_exp.records.study import Comparison, PlannedJob, Study


def write_run(study_dir: Path, job: PlannedJob, score: float, *, is_done: bool) -> None:
    run_dir = study_dir / job.job_id
    run_dir.mkdir(parents=True, exist_ok=True)
    rows = [f"{e},{2 / e:.4f},{score - 0.5 / e:.4f}" for e in range(1, 6)]
    (run_dir / "metrics.csv").write_text("\n".join(["epoch,train/loss,val/acc", *rows]) + "\n")
    (run_dir / "config.yaml").write_text(f"head: {{name: {job.arm}}}\nseed: {job.seed}\nruns_dir: /here\n")
    (run_dir / "log.txt").write_text(f"line of {job.job_id}\napi_key=hunter2 \x1b[2J<script>window.hit=1</script>\n")
    test = {"num_examples": [5, 0], "acc": [0.8, None], "confusion": [[4, 1], [0, 0]]}
    classes = {"class_names": ["cat", "<b>dog</b>"], "test": test}
    (run_dir / "per_class.json").write_text(json.dumps(classes))
    if is_done:
        texts = dict.fromkeys(("backbone", "optimizer", "started_at", "finished_at", "command", "config_hash"), "x")
        nones = dict.fromkeys(("params_total", "params_head", "macs", "images_per_second", "peak_memory_bytes"))
        Record(
            **texts,
            **nones,
            job_id=job.job_id,
            study=study_dir.name,
            status="done",
            exit_code=0,
            seed=job.seed,
            dataset=job.block,
            head=job.arm,
            arm=job.arm,
            block=job.block,
            metrics={"test/acc": score, "val/acc": score},
            wall_seconds=3.0,
            git={},
            versions={},
            data={"chance": 0.1, "num_test": 1000},
            epochs=5,
        ).write(run_dir)


@contextmanager
def serving(studies: dict[str, Path]) -> Iterator[DashboardServer]:
    with DashboardServer(studies, "127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def serve() -> Callable[[dict[str, Path]], object]:
    """Serve studies for the time of a ``with``."""
    return serving


@pytest.fixture(scope="session")
def report_writers(module_of: Callable[[Path], ModuleType]) -> ModuleType:
    """The writers of invented studies, with hostile names too, that the report's tests use."""
    return module_of(Path(__file__).resolve().parents[1] / "report" / "conftest.py")


@pytest.fixture
def study_dir(tmp_path: Path) -> Path:
    """Two arms, two blocks, three seeds; the last seed of each is running, a job of the second block not started."""
    folder = tmp_path / "heads"
    jobs = [
        PlannedJob(f"{block}{arm}{seed}", arm, block, seed, {"head": arm, "dataset": block})
        for block in ("mnist", "svhn")
        for seed in range(3)
        for arm in ("gap", "fc")
    ]
    comparison = Comparison(("head",), ("gap", "fc"), ("mnist", "svhn"), (0, 1, 2), "gap", "test/acc", 0.002, 0.05)
    Study("heads", "compare", "nin-exp compare", "2026-01-01", tuple(jobs), comparison).write(folder)
    for job in jobs[:-1]:
        write_run(folder, job, 0.9 - 0.01 * (job.arm == "fc") - 0.001 * job.seed, is_done=job.seed < 2)
        if job.seed == 2:
            remember_process(folder / job.job_id / PROCESS_FILE)  # this process stands for the one that trains
    return folder


@pytest.fixture
def finish() -> Callable[[Path, str], None]:
    """Write the record of a job that was running."""

    def write(study_dir: Path, job_id: str) -> None:
        job = next(job for job in Study.read(study_dir).jobs if job.job_id == job_id)
        write_run(study_dir, job, 0.9, is_done=True)

    return write
