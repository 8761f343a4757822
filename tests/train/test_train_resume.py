"""Stopped in the middle of an epoch, killed in a later one, and continued: the same bytes as undisturbed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nin_exp.errors import StorageError
from nin_exp.train.run import train

FILES = ("metrics.csv", "predictions.npz", "class_maps.npz", "per_class.json", "checkpoints/best.ckpt")

CASES = {
    "plain": [],
    "accumulate": ["trainer.accumulate=3"],
    "ema": ["trainer.ema_decay=0.8", "backbone=nin_bn", "backbone.width=0.05"],
    "ema_last": ["trainer.ema_decay=0.8", "trainer.select=last"],
    "bf16": ["trainer.precision=bf16-mixed"],
    "clip": ["trainer.clip_norm=0.1", "trainer.deterministic=true", "trainer.accumulate=2"],
    "overfit": ["trainer.overfit_batches=4", "augment=none"],
    "plateau": ["schedule=plateau", "schedule.monitor=train/acc", "schedule.patience=0", "schedule.threshold=0.2"],
}


def assert_same(one: Any, two: Any, where: str = "") -> None:
    """Equal to the bit, containers and tensors."""
    assert type(one) is type(two), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one:
            assert_same(one[key], two[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for index, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_same(a, b, f"{where}/{index}")
    else:
        assert one == two or (one != one and two != two), where


def content(run_dir: Path, name: str) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(run_dir / "checkpoints" / name, weights_only=True)
    state.get("progress", {}).pop("times", None)
    return state


def disturb_and_compare(runs, case: list[str]) -> Path:  # type: ignore[no-untyped-def]
    record, whole = runs.train(*case, name="whole")
    per_epoch = record.steps // record.epochs
    runs.stop(per_epoch + 2, *case, name="cut")
    runs.kill(2 * per_epoch + 2, *case, name="cut")
    _, cut = runs.train(*case, name="cut")
    assert (cut / "log.txt").read_text().count("going on from epoch") == 2
    for name in FILES:
        if (whole / name).exists():
            assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    assert_same(content(whole, "last.ckpt"), content(cut, "last.ckpt"))
    return whole


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_disturbed_run_ends_in_the_same_bytes(runs, case: list[str]) -> None:  # type: ignore[no-untyped-def]
    disturb_and_compare(runs, case)


def test_what_goes_on_finds_the_weights_that_it_calls_the_best(runs) -> None:  # type: ignore[no-untyped-def]
    """Also where checkpoints are rare: on a GPU the epochs that are trained again may rank otherwise."""
    case = ["checkpoint.every_epochs=100", "trainer.max_epochs=6"]
    runs.kill(28, *case)
    run_dir = runs.job(*case, name="run").run_dir
    progress = content(run_dir, "last.ckpt")["progress"]
    assert progress["best_epoch"] == content(run_dir, "best.ckpt")["epoch"]


def test_half_written_files_of_a_killed_process_go(runs) -> None:  # type: ignore[no-untyped-def]
    runs.kill(7)
    folder = runs.job().run_dir / "checkpoints"
    (folder / ".last.ckpt.abc.tmp").write_bytes(b"half")
    _, run_dir = runs.train(name="run")
    assert not list(run_dir.rglob("*.tmp"))


def test_a_directory_that_is_removed_is_not_made_again(runs) -> None:  # type: ignore[no-untyped-def]
    job = runs.job()

    def remove(progress, rate) -> None:  # type: ignore[no-untyped-def]
        shutil.rmtree(job.run_dir)

    with pytest.raises(StorageError, match="was removed while it was trained; run the command again"):
        train(job, threads=1, on_epoch=remove)
    assert not job.run_dir.exists()


def test_bfloat16_keeps_float32_weights(runs) -> None:  # type: ignore[no-untyped-def]
    record, run_dir = runs.train("trainer.precision=bf16-mixed", "trainer.max_epochs=1", name="bf16")
    _, exact_dir = runs.train("trainer.max_epochs=1", name="exact")
    assert np.isfinite(record.metrics["train/loss"])
    weights = content(run_dir, "last.ckpt")["network"]
    exact = content(exact_dir, "last.ckpt")["network"]
    assert {w.dtype for w in weights.values() if w.is_floating_point()} == {torch.float32}
    differences = [float((weights[name] - exact[name]).abs().max()) for name in weights]
    assert 0 < max(differences) < 0.1  # it did compute in another precision, and much the same


@pytest.mark.slow
def test_compiled_training_is_resumed_to_the_byte(runs) -> None:  # type: ignore[no-untyped-def]
    """Two batch sizes an epoch: the code for one must not depend on whether the other was met before."""
    case = ["trainer.compile=true", "backbone=mlp", "head=flatten_linear", "trainer.max_epochs=2"]
    _, whole = runs.train(*case, name="whole")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    runs.stop(7, *case, name="cut")
    _, cut = runs.train(*case, name="cut")
    assert_same(content(whole, "last.ckpt"), content(cut, "last.ckpt"))
    assert (whole / "metrics.csv").read_bytes() == (cut / "metrics.csv").read_bytes()
    _, plain = runs.train(*case[1:], name="plain")
    assert content(whole, "last.ckpt")["network"].keys() == content(plain, "last.ckpt")["network"].keys()
    with np.load(whole / "predictions.npz") as a, np.load(plain / "predictions.npz") as b:
        np.testing.assert_allclose(a["test_logits"], b["test_logits"], atol=5e-3)
