"""What each training option does, against plain torch or by hand."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from nin_exp.errors import ConfigError
from nin_exp.module.averaging import WeightAverage
from nin_exp.module.classifier import Classifier, clip_scaled
from nin_exp.train import session
from nin_exp.train.compilation import compile_failure, require_compiler
from nin_exp.train.host import deterministic_algorithms
from nin_exp.train.limit import evenly_spread


def rows(run_dir: Path) -> list[dict[str, float]]:
    text = (run_dir / "metrics.csv").read_text().splitlines()
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(text)]


def weights(run_dir: Path, key: str = "network") -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)[key]
    return found


def test_parts_of_a_batch_sum_to_its_gradient(runs, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """The same steps as whole batches, in less memory: batches of 32 in parts of 7 at most, the last one of 22."""
    sizes = []
    undisturbed = Classifier._loss
    monkeypatch.setattr(Classifier, "_loss", lambda m, x, y: sizes.append(len(y)) or undisturbed(m, x, y))
    whole, whole_dir = runs.train(name="whole")
    assert set(sizes) == {32, 22}
    sizes.clear()
    parts, parts_dir = runs.train("trainer.accumulate=5", name="parts")
    assert sizes[:5] == [7, 7, 7, 7, 4]
    assert sizes[20:25] == [5, 5, 5, 5, 2]
    assert parts.steps == whole.steps == 15
    for one, two in zip(rows(whole_dir), rows(parts_dir), strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    for name, weight in weights(whole_dir).items():
        torch.testing.assert_close(weights(parts_dir)[name], weight, atol=1e-5, rtol=1e-4)


def test_an_average_of_weights_by_hand() -> None:
    network: Any = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    start = {name: value.clone() for name, value in network.state_dict().items()}
    average = WeightAverage(network, 0.75)
    expected = {name: value.clone() for name, value in start.items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        network(torch.randn(4, 2)).pow(3).sum().backward()
        optimizer.step()
        average.follow()
        for name, value in network.state_dict().items():
            expected[name] = 0.75 * expected[name] + 0.25 * value if value.is_floating_point() else value.clone()
    assert not torch.equal(start["1.running_mean"], expected["1.running_mean"])
    assert average.state_dict().keys() == network.state_dict().keys()
    for name, value in average.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert not average.network.training


def test_averaged_weights_are_validated_and_tested(runs) -> None:  # type: ignore[no-untyped-def]
    options = ["trainer.ema_decay=0.9", "trainer.select=last", "backbone=nin_bn", "backbone.width=0.05"]
    record, run_dir = runs.train(*options)
    averaged, trained = weights(run_dir), weights(run_dir, "trained")
    assert any(not torch.equal(averaged[name], trained[name]) for name in averaged)
    assert record.metrics["val/acc"] == rows(run_dir)[-1]["val/acc"]
    assert record.metrics["val/loss"] == pytest.approx(rows(run_dir)[-1]["val/loss"], abs=1e-12)
    plain, plain_dir = runs.train(*options[1:], name="plain")
    for name, weight in weights(plain_dir).items():
        assert torch.equal(weight, trained[name])  # training itself is not touched
    assert plain.metrics["val/loss"] != record.metrics["val/loss"]


@pytest.mark.parametrize("fused", [True, False])
def test_clipping_of_scaled_gradients(fused: bool) -> None:
    """Under a float16 scale the step is that of clipped, unscaled gradients."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    layer = nn.Linear(3, 1)
    exact = nn.Linear(3, 1)
    exact.load_state_dict(layer.state_dict())
    inputs = torch.tensor([[3.0, -2.0, 5.0]])
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0, fused=fused)
    scaler.scale(layer(inputs).sum()).backward()
    if not fused:
        scaler.unscale_(optimizer)  # as Lightning does
    clip_scaled(scaler, optimizer, max_norm=0.5)
    scaler.step(optimizer)
    exact(inputs).sum().backward()
    nn.utils.clip_grad_norm_(exact.parameters(), 0.5)
    torch.optim.SGD(exact.parameters(), lr=1.0).step()
    torch.testing.assert_close(layer.weight, exact.weight)
    torch.testing.assert_close(layer.bias, exact.bias)


def test_both_accuracies_above_the_mark_end_a_run(runs) -> None:  # type: ignore[no-untyped-def]
    record, run_dir = runs.train("trainer.stop_above=0.05", "trainer.max_epochs=30")
    assert "stopped_above" in record.flags
    *before, last = rows(run_dir)
    assert min(last["train/acc"], last["val/acc"]) > 0.05
    assert all(min(row["train/acc"], row["val/acc"]) <= 0.05 for row in before)
    assert record.epochs == len(before) + 1 < 30
    assert runs.train("trainer.stop_above=0.99")[0].flags == ()


def test_a_schedule_can_end_a_run_which_stays_ended(runs) -> None:  # type: ignore[no-untyped-def]
    """No epoch improves by 10: a plateau in each, a cut, another plateau, the end. A run killed there is not longer."""
    options = [
        "schedule=plateau", "schedule.monitor=train/acc", "schedule.patience=0", "schedule.threshold=10",
        "schedule.max_cuts=1", "trainer.max_epochs=30",
    ]  # fmt: skip
    record, run_dir = runs.train(*options)
    assert record.flags == ("schedule_finished",)
    assert record.epochs < 10
    learning_rates = [row["lr"] for row in rows(run_dir)]
    assert len(set(learning_rates)) == 2
    (run_dir / "record.json").unlink()
    again, _ = runs.train(*options)
    assert (again.epochs, again.flags, again.metrics) == (record.epochs, record.flags, record.metrics)


def test_a_dead_head_is_said_while_it_trains(runs, monkeypatch, capfd) -> None:  # type: ignore[no-untyped-def]
    built = session.build_network

    def build_dead(*arguments: Any) -> Any:
        network = built(*arguments)
        nn.init.constant_(network.head.last_layer.bias, -1e3)
        return network

    monkeypatch.setattr(session, "build_network", build_dead)
    record, run_dir = runs.train("backbone=nin_bn", "backbone.width=0.05", "head.relu=true", "trainer.max_epochs=2")
    assert "dead_head" in record.flags
    assert record.metrics["train/loss"] == pytest.approx(math.log(10), abs=1e-6)
    said = capfd.readouterr().err
    assert said.count("nin-exp: warning: epoch 1: the loss stayed at ln 10 = 2.3026") == 1
    assert "set head.relu=false" in said
    assert "epoch 2: the loss" not in said
    log = (run_dir / "log.txt").read_text()
    assert log.count("the loss stayed at ln 10") == 1
    assert "all class maps of the test images are zero" in log


def test_limited_runs_are_flagged(runs) -> None:  # type: ignore[no-untyped-def]
    record, run_dir = runs.train("trainer.limit_batches=2", "trainer.eval_batch_size=50")
    assert record.flags == ("limited",)
    assert [record.data[f"num_{split}"] for split in ("train", "val", "test")] == [64, 100, 100]
    assert record.steps == 6
    with np.load(run_dir / "predictions.npz") as file:
        assert len(file["test_labels"]) == 100
        assert set(file["test_labels"]) == set(range(10))


def test_overfitting_sees_the_same_images_everywhere(runs) -> None:  # type: ignore[no-untyped-def]
    options = ["trainer.overfit_batches=1", "augment=none", "trainer.max_epochs=60", "optimizer.lr=0.1"]
    record, run_dir = runs.train(*options, "schedule=constant")
    assert record.flags == ("limited",)
    assert record.steps == 60
    with np.load(run_dir / "predictions.npz") as file:
        np.testing.assert_array_equal(file["val_logits"], file["test_logits"])
        assert len(file["val_labels"]) == 32
    assert record.metrics["test/acc"] == record.metrics["train_eval/acc"] > 0.95
    assert record.metrics["gap/acc"] == 0


def test_positions_are_spread() -> None:
    assert evenly_spread(10, 4).tolist() == [0, 2, 5, 7]
    assert evenly_spread(3, 10).tolist() == [0, 1, 2]


def test_a_profile_is_written_and_changes_nothing(runs) -> None:  # type: ignore[no-untyped-def]
    _, run_dir = runs.train("trainer.profile=true", "trainer.max_epochs=2", name="profiled")
    names = [event.get("name") for event in json.loads((run_dir / "profile" / "trace.json").read_text())["traceEvents"]]
    assert names.count("aten::conv2d") >= 2  # of two steps at least
    assert "aten::" in (run_dir / "profile" / "table.txt").read_text()
    assert [p.name for p in sorted((run_dir / "profile").iterdir())] == ["table.txt", "trace.json"]
    _, plain_dir = runs.train("trainer.max_epochs=2", name="plain")
    assert (run_dir / "metrics.csv").read_bytes() == (plain_dir / "metrics.csv").read_bytes()


def test_deterministic_kernels_for_the_run_alone(runs, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    seen = []
    undisturbed = Classifier._loss

    def look(module: Classifier, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        is_strict = not torch.is_deterministic_algorithms_warn_only_enabled()
        seen.append((torch.are_deterministic_algorithms_enabled(), is_strict, torch.backends.cudnn.benchmark))
        return undisturbed(module, images, labels)

    monkeypatch.setattr(Classifier, "_loss", look)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    runs.train("trainer.deterministic=true", "trainer.max_epochs=1")
    assert set(seen) == {(True, True, False)}
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
    with pytest.raises(ZeroDivisionError), deterministic_algorithms(enabled=True):
        raise ZeroDivisionError
    assert not torch.are_deterministic_algorithms_enabled()


def test_no_compiler_is_one_line(runs, monkeypatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"trainer\.compile=true needs a C\+\+ compiler, and none of g\+\+"):
        runs.train("trainer.compile=true")
    monkeypatch.setenv("CXX", "mine")
    with pytest.raises(ConfigError, match="and mine is not on the PATH"):
        require_compiler("cpu")


def test_an_error_of_the_compiler_is_told_from_others() -> None:
    failure = type("CppCompileError", (RuntimeError,), {"__module__": "torch._inductor.exc"})("C++ compile error\nlong")
    wrapped = RuntimeError("backend failed")
    wrapped.__cause__ = failure
    for error in (failure, wrapped):
        assert "set trainer.compile=false" in str(compile_failure(error))
    assert compile_failure(RuntimeError("shape")) is None


def test_float16_without_a_gpu_is_refused(runs) -> None:  # type: ignore[no-untyped-def]
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match=r"trainer\.precision=16-mixed needs a GPU, and none is visible"):
        runs.train("trainer.precision=16-mixed", "trainer.accelerator=auto")


def test_label_smoothing_keeps_the_loss_of_a_dead_head() -> None:
    logits = torch.zeros(4, 7)
    labels = torch.tensor([0, 1, 2, 3])
    assert functional.cross_entropy(logits, labels, label_smoothing=0.1) == pytest.approx(math.log(7), abs=1e-6)
