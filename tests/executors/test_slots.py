"""How a machine is shared out."""

from __future__ import annotations

import pytest

from nin_exp.config import ExecutorConfig
from nin_exp.executors import local
from nin_exp.executors.local import make_slots


def settings(workers: int | None = None, gpus_per_job: int = 1) -> ExecutorConfig:
    return ExecutorConfig(kind="local", workers=workers, gpus_per_job=gpus_per_job, start_method="auto")


def test_one_gpu_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1,GPU-abc,7")
    slots = make_slots(settings(), 8, use_gpus=True)
    assert [s.gpus for s in slots] == [("3",), ("1",), ("GPU-abc",), ("7",)]
    assert [s.gpus for s in make_slots(settings(workers=2), 8, use_gpus=True)] == [("3",), ("1",)]
    assert [s.gpus for s in make_slots(settings(gpus_per_job=2), 8, use_gpus=True)] == [("3", "1"), ("GPU-abc", "7")]


@pytest.mark.parametrize("value", ["", "-1"])
def test_hidden_gpus_are_not_used(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert all(s.gpus is None for s in make_slots(settings(), 4, use_gpus=True))


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(local, "_free_memory", lambda: 64 * 2**30)
    assert [s.threads for s in make_slots(settings(), 100, use_gpus=False)] == [1] * 8
    assert [s.threads for s in make_slots(settings(), 2, use_gpus=False)] == [4, 4]
    assert [s.threads for s in make_slots(settings(workers=3), 100, use_gpus=False)] == [2, 2, 2]
    monkeypatch.setattr(local, "_free_memory", lambda: 5 * 2**30)
    assert len(make_slots(settings(), 100, use_gpus=False)) == 2
