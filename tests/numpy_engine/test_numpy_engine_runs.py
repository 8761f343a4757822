"""Whole runs with engine=numpy: the same files as torch's, stopped and continued to the byte, used afterwards."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nin_exp.compose.composer import Composer
from nin_exp.errors import DivergedError
from nin_exp.inference.run import load_run
from nin_exp.plan.expand import plan_single
from nin_exp.records.job import Job
from nin_exp.records.record import Record
from nin_exp.reference.parallel import get_num_threads, set_num_threads
from nin_exp.train.books import Books
from nin_exp.train.run import train
from nin_exp.train.signals import Stopped

TINY = [
    "dataset=digits", "dataset.train_limit=150", "backbone=lenet", "dataset.image_size=12", "trainer.batch_size=32",
    "trainer.max_epochs=3", "trainer.threads=1", "augment=translate", "evaluation.panel=5", "engine=numpy",
]  # fmt: skip
"""Five steps an epoch, the last with 22 images."""

NO_DROPOUT = ["backbone=nin_bn", "backbone.width=0.1", "backbone.dropout=0"]


@dataclass
class Runs:
    """Trains below a folder, in this process."""

    composer: Composer
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def job(self, *overrides: str, name: str = "run") -> Job:
        return plan_single(self.composer, [*TINY, *overrides, f"runs_dir={self.folder / name}"], "").jobs[0]

    def train(self, *overrides: str, name: str = "run") -> tuple[Record, Path]:
        job = self.job(*overrides, name=name)
        return train(job, threads=1), job.run_dir

    def stop(self, step: int, *overrides: str, name: str) -> None:
        """Train, with a SIGTERM that comes during a step."""
        undisturbed = Books.end_step

        def end_step(books: Books, num_images: int) -> None:
            if books.progress.step + 1 == step:
                signal.raise_signal(signal.SIGTERM)
            undisturbed(books, num_images)

        job = self.job(*overrides, name=name)
        with self.monkeypatch.context() as patch:
            patch.setattr(Books, "end_step", end_step)
            with pytest.raises(Stopped, match="143"):
                train(job, threads=1)


@pytest.fixture
def runs(composer: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    """Runs in this process, whose global settings come back."""
    threads, numpy_threads = torch.get_num_threads(), get_num_threads()
    monkeypatch.setenv("NIN_EXP_DATA", str(tmp_path / "data"))
    yield Runs(composer, tmp_path, monkeypatch)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    set_num_threads(numpy_threads)


def rows(run_dir: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run_dir / "metrics.csv").read_text(encoding="utf-8").splitlines()))


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


def checkpoint(run_dir: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    state["progress"].pop("times")
    return state


CASES = {
    "dropout": ["backbone=nin_bn", "backbone.width=0.05"],
    "adam": ["optimizer=adam", "optimizer.amsgrad=true", "trainer.clip_norm=0.5", "trainer.label_smoothing=0.1"],
    "plateau": ["schedule=plateau", "schedule.monitor=train/acc", "schedule.patience=0", "schedule.threshold=0.2"],
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_stopped_run_goes_on_to_the_same_bytes(runs: Runs, case: list[str]) -> None:
    _, whole = runs.train(*case, name="whole")
    runs.stop(7, *case, name="cut")  # in the middle of the second epoch
    runs.stop(10, *case, name="cut")  # at the end of it, which is closed first
    _, cut = runs.train(*case, name="cut")
    assert (cut / "log.txt").read_text(encoding="utf-8").count("going on from epoch") == 2
    for name in ("metrics.csv", "predictions.npz", "class_maps.npz", "per_class.json", "checkpoints/best.ckpt"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    assert_same(checkpoint(whole), checkpoint(cut))


def test_both_engines_see_the_same_weights_batches_and_augmentation(runs: Runs) -> None:
    """Without dropout, whose draws differ, a whole run has torch's numbers, and torch's files."""
    record, run_dir = runs.train(*NO_DROPOUT, name="numpy")
    other, other_dir = runs.train(*NO_DROPOUT, "engine=torch", name="torch")
    for own, row in zip(rows(run_dir), rows(other_dir), strict=True):
        assert own["lr"] == row["lr"]
        for name in ("train/loss", "val/loss"):
            assert float(own[name]) == pytest.approx(float(row[name]), rel=1e-3), (name, own["epoch"])
    assert float(rows(run_dir)[0]["train/loss"]) > float(rows(run_dir)[-1]["train/loss"]) + 0.1
    assert record.metrics.keys() == other.metrics.keys()
    assert record.metrics["test/loss"] == pytest.approx(other.metrics["test/loss"], rel=1e-2)
    files = [sorted(p.relative_to(d).as_posix() for p in d.rglob("*") if p.is_file()) for d in (run_dir, other_dir)]
    assert files[0] == files[1]
    for name in ("params_total", "params_head", "macs", "steps", "epochs", "device", "data"):
        assert getattr(record, name) == getattr(other, name), name
    assert record.status == "done"
    assert record.images_per_second is not None
    assert record.images_per_second > 0
    assert record.config_hash != other.config_hash


def test_a_run_is_used_as_it_was_measured(runs: Runs) -> None:
    """``load_run`` answers by NumPy what the run's files say; torch gives the same with the run's weights."""
    from nin_exp.build import build_dataset
    from nin_exp.data.folder import resolve_data_dir
    from nin_exp.data.prepare import prepare

    record, run_dir = runs.train("backbone=nin_bn", "backbone.width=0.1", "evaluation.target_acc=0.5")
    run = load_run(run_dir, device="cpu")
    data = prepare(build_dataset(run.config), resolve_data_dir(None), run.config.split_seed)
    with np.load(run_dir / "predictions.npz") as stored:
        logits = stored["test_logits"]
    predictions = run.predict(data.test.images[..., 0])
    np.testing.assert_allclose([p.logits for p in predictions], logits, rtol=0, atol=1e-6)
    assert run.evaluate("test", again=True).metrics["test/acc"] == record.metrics["test/acc"]
    inputs = run.predictor.inputs(data.test.images)
    with torch.inference_mode():
        by_torch = run.network(inputs)
    np.testing.assert_allclose(by_torch.numpy(), logits, rtol=0, atol=1e-4)
    assert type(run.predictor.forward).__name__ == "NumpyNetwork"
    maps = run.explain(data.test.images[:1, ..., 0])[0].class_maps
    assert maps is not None
    np.testing.assert_allclose(maps.mean((1, 2)), logits[0], atol=1e-4)


def test_a_run_is_exported(runs: Runs) -> None:
    _, run_dir = runs.train("trainer.max_epochs=1", "backbone=nin_bn", "backbone.width=0.1")
    run = load_run(run_dir, device="cpu")
    exported = run.export("safetensors")
    from nin_exp.reference.state import load_state

    state = load_state(exported)
    for name, value in run.network.state_dict().items():
        np.testing.assert_array_equal(state[name], value.numpy(), err_msg=name)


def test_full_evaluation(runs: Runs) -> None:
    """Other image sizes too, through NumPy; the size that is too small for a layer has no accuracy."""
    settings = ["evaluation.level=full", "evaluation.full_images=20", "trainer.max_epochs=1"]
    record, run_dir = runs.train(*settings, name="numpy")
    other, other_dir = runs.train(*settings, "engine=torch", name="torch")
    both = [json.loads((d / "evaluation.json").read_text(encoding="utf-8"))["resize"] for d in (run_dir, other_dir)]
    assert both[0] == both[1]
    assert both[0]["acc"][0] is None
    assert record.metrics["test/shift_acc"] == other.metrics["test/shift_acc"]


def test_a_run_without_an_epoch_has_torchs_weights(runs: Runs) -> None:
    _, run_dir = runs.train("trainer.max_epochs=0", "head=fc", name="numpy")
    _, other_dir = runs.train("trainer.max_epochs=0", "head=fc", "engine=torch", name="torch")
    with np.load(run_dir / "predictions.npz") as own, np.load(other_dir / "predictions.npz") as other:
        np.testing.assert_allclose(own["test_logits"], other["test_logits"], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(own["test_labels"], other["test_labels"])


def test_steps_end_a_run_within_an_epoch(runs: Runs) -> None:
    record, run_dir = runs.train("trainer.max_steps=7", "trainer.select=last")
    assert (record.steps, record.epochs, len(rows(run_dir))) == (7, 2, 2)


def test_a_run_that_diverges_says_so(runs: Runs) -> None:
    with pytest.raises(DivergedError, match=r"the training loss became nan in epoch 1; lower optimizer\.lr"):
        runs.train("optimizer.lr=1e30", "schedule=constant")


@pytest.mark.slow
def test_lenet_on_mnist_is_as_good_in_both_engines(real_data: Path, runs: Runs) -> None:
    accuracies = []
    for engine in ("numpy", "torch"):
        texts = ["dataset=mnist", f"dataset.source={real_data / 'mnist.npz'}", "dataset.image_size=null"]
        texts += ["dataset.train_limit=null", "trainer.max_epochs=1", "trainer.batch_size=128", "augment=none"]
        record, _ = runs.train(*texts, "head=mlp", "head.hidden=[120,84]", "head.dropout=0", f"engine={engine}")
        accuracies.append(record.metrics["test/acc"])
    assert min(accuracies) > 0.95
    assert abs(accuracies[0] - accuracies[1]) < 0.003


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "epochs", "least"), [("cnn_numpy_fc", 3, 0.92), ("cnn_numpy_conv", 5, 0.90)])
def test_the_claims_of_cnn_numpy(real_data: Path, runs: Runs, preset: str, epochs: int, least: float) -> None:
    """92 % for the dense net (after 20 epochs there), above 90 % for the other (70 % there, on wrong gradients)."""
    texts = [f"experiment=seed/{preset}", f"dataset.source={real_data / 'mnist.npz'}", f"trainer.max_epochs={epochs}"]
    texts += ["engine=numpy", f"runs_dir={runs.folder}"]
    record = train(plan_single(runs.composer, texts, "").jobs[0], threads=1)
    assert record.metrics["test/acc"] >= least
