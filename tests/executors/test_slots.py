"""How a machine is shared out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.errors import ConfigError
from nin_exp.executors import slots
from nin_exp.executors.demand import Demand
from nin_exp.executors.executor import make_executor
from nin_exp.executors.slots import make_slots
from nin_exp.records.job import Job

Settings = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer((shipped_config_dir(),))


@pytest.fixture
def settings(composer: Composer) -> Settings:
    """An executor's configuration with some keys set."""

    def make(**values: str) -> dict[str, Any]:
        node = composer.compose([(f"executor.{key}", value) for key, value in values.items()]).executor
        return {key: value for key, value in node.items() if key not in ("_target_", "start_method")}

    return make


def test_one_gpu_a_slot(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1,GPU-abc,7")
    assert [s.gpus for s in make_slots(Demand(8, use_gpus=True), **settings())] == [
        ("3",),
        ("1",),
        ("GPU-abc",),
        ("7",),
    ]
    assert [s.gpus for s in make_slots(Demand(8, use_gpus=True), **settings(workers="2"))] == [("3",), ("1",)]
    assert [s.gpus for s in make_slots(Demand(8, use_gpus=True), **settings(gpus_per_job="2"))] == [
        ("3", "1"),
        ("GPU-abc", "7"),
    ]


@pytest.mark.parametrize("value", ["", "-1"])
def test_hidden_gpus_are_not_used(monkeypatch: pytest.MonkeyPatch, settings: Settings, value: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert all(s.gpus is None for s in make_slots(Demand(4, use_gpus=True), **settings()))


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(slots, "available_cores", lambda: 8)
    monkeypatch.setattr(slots, "_free_memory", lambda: 64 * 2**30)
    assert [s.threads for s in make_slots(Demand(100, use_gpus=False), **settings())] == [1] * 8
    assert [s.threads for s in make_slots(Demand(2, use_gpus=False), **settings())] == [4, 4]
    assert [s.threads for s in make_slots(Demand(100, use_gpus=False), **settings(workers="3"))] == [2, 2, 2]
    monkeypatch.setattr(slots, "_free_memory", lambda: 5 * 2**30)
    assert len(make_slots(Demand(100, use_gpus=False), **settings())) == 2


def test_declared_gpus_stand_before_visible_ones(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    found = make_slots(Demand(8, use_gpus=True), **settings(gpus="[0,1,GPU-x,3]"))
    assert [s.gpus for s in found] == [("0",), ("1",), ("GPU-x",), ("3",)]
    with pytest.raises(ConfigError, match=r"executor\.gpus must name each GPU once"):
        make_slots(Demand(8, use_gpus=True), **settings(gpus="[0,0]"))


def test_shares_of_a_gpu(settings: Settings) -> None:
    """Dealt round: two jobs on two GPUs are alone; never more than 1 / share jobs on one."""
    halves = make_slots(Demand(8, use_gpus=True), **settings(gpus="[0,1]", gpus_per_job="0.5"))
    assert [s.gpus for s in halves] == [("0",), ("1",), ("0",), ("1",)]
    assert len(make_slots(Demand(8, use_gpus=True), **settings(gpus="[0]", gpus_per_job="0.3"))) == 3
    assert len(make_slots(Demand(99, use_gpus=True), **settings(gpus="[0]", gpus_per_job="0.1"))) == 10


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gpus_per_job": "1.5"}, "executor.gpus_per_job must be whole above 1, got 1.5"),
        ({"gpus_per_job": "0"}, "executor.gpus_per_job must lie in"),
        ({"gpus": "[0]", "gpus_per_job": "2"}, "executor.gpus_per_job must be at most the 1 GPUs there are, got 2"),
    ],
)
def test_wrong_shares(settings: Settings, values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_slots(Demand(8, use_gpus=True), **settings(**values))


def test_ranks_count_as_processes(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Four cores: four jobs of one process each, two of two ranks, one of three; memory is for processes, too."""
    monkeypatch.setattr(slots, "available_cores", lambda: 4)
    monkeypatch.setattr(slots, "_free_memory", lambda: 64 * 2**30)

    def threads(devices: int, **values: str) -> list[int]:
        demand = Demand(9, use_gpus=False, devices=devices)
        return [slot.threads for slot in make_slots(demand, **settings(**values))]

    assert [threads(devices) for devices in (1, 2, 3, 8)] == [[1] * 4, [2, 2], [4], [4]]
    assert threads(2, workers="4") == [1] * 4
    monkeypatch.setattr(slots, "_free_memory", lambda: 9 * 2**30)
    assert threads(2) == [2, 2]
    monkeypatch.setattr(slots, "_free_memory", lambda: 5 * 2**30)
    assert threads(2) == [4]


def test_ranks_get_a_gpu_each(settings: Settings) -> None:
    demand = Demand(9, use_gpus=True, devices=2)
    assert [s.gpus for s in make_slots(demand, **settings(gpus="[0,1,2,3]"))] == [("0", "1"), ("2", "3")]
    message = r"executor\.gpus_per_job must be at least trainer\.devices \(2\), got 1; leave it null"
    with pytest.raises(ConfigError, match=message):
        make_slots(demand, **settings(gpus="[0,1,2,3]", gpus_per_job="1"))


def test_what_a_plan_asks_for() -> None:
    def job(engine: str, accelerator: str, devices: int) -> Job:
        config = {"engine": engine, "trainer": {"accelerator": accelerator, "devices": devices}}
        return Job("j", config, "", "", Path(), "s", 0)

    jobs = [job("torch", "cpu", 2), job("numpy", "auto", 1)]
    assert Demand.of(jobs, 7) == Demand(7, use_gpus=False, devices=2)
    assert Demand.of([*jobs, job("torch", "auto", 1)], 7) == Demand(7, use_gpus=True, devices=2)


def test_clusters_are_asked_for_a_place_a_rank(composer: Composer) -> None:
    demand = Demand(9, use_gpus=True, devices=2)
    ray, slurm = (make_executor(composer.compose([("executor", e)]).executor, demand) for e in ("ray", "slurm"))
    assert (ray._cpus_per_job, ray._gpus_per_job) == (2, 2)  # type: ignore[attr-defined]
    assert slurm._parameters["gpus_per_node"] == 2  # type: ignore[attr-defined]


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="the system has no /proc/meminfo")
def test_memory_that_only_caches_files_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a plan right after an installation, which fills the page cache, would run one job at a time."""
    told = {"/proc/meminfo": "MemTotal: 24000000 kB\nMemFree: 900000 kB\nMemAvailable: 20000000 kB\n"}

    def read_text(path: Path, encoding: str | None = None) -> str:
        try:
            return told[str(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    monkeypatch.setattr(slots.Path, "read_text", read_text)
    assert slots._free_memory() == 20_000_000 * 1024
    told["/sys/fs/cgroup/memory.max"] = "max\n"
    assert slots._free_memory() == 20_000_000 * 1024
    told["/sys/fs/cgroup/memory.max"] = "4000000000\n"
    assert slots._free_memory() == 4_000_000_000
