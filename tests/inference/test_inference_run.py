"""A run directory alone gives the network, its numbers, and the same answers as in training."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import nin_exp
from nin_exp.errors import ConfigError, IntegrityError, RefusedError
from nin_exp.inference.run import TrainedRun, load_run

REPO = Path(__file__).resolve().parents[2]


def test_pngs_give_the_logits_of_training(run, test_images, test_logits, save_pngs, tmp_path) -> None:
    predictions = run.predict(save_pngs(test_images, tmp_path))
    assert len(predictions) == len(test_logits) == 359
    np.testing.assert_allclose(np.stack([p.logits for p in predictions]), test_logits, atol=1e-5, rtol=0)


def test_probabilities_are_the_softmax_and_name_the_highest(run, test_images, test_logits) -> None:
    predictions = run.predict(test_images[:20])
    powers = np.exp(test_logits[:20].astype(np.float64))
    np.testing.assert_allclose([p.probabilities for p in predictions], powers / powers.sum(1, keepdims=True), atol=1e-6)
    for prediction, logits in zip(predictions, test_logits, strict=False):
        assert prediction.class_name == str(logits.argmax())  # the digits' classes are named 0 … 9
        assert prediction.top(3)[0] == (prediction.class_name, prediction.probability)
        assert [p for _, p in prediction.top(10)] == sorted(prediction.probabilities, reverse=True)


def test_what_a_run_tells(run, trained) -> None:
    record = json.loads((trained / "record.json").read_text())
    assert run.metrics == record["metrics"]
    assert run.record.job_id == trained.name
    assert run.class_names == tuple("0123456789")
    assert run.config.backbone["width"] == 0.1
    assert run.config.choices["head"] == "gap"
    with (trained / "metrics.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert run.history.reset_index().to_dict("records") == rows
    assert run.history.index.name == "epoch"
    assert run.history.index.tolist() == [1, 2]
    assert run.model is run.network


@pytest.mark.parametrize("content", ["", "epoch,val/acc\n1,high\n", "step\n1\n"])
def test_damaged_history(copied, content) -> None:
    (copied / "metrics.csv").write_text(content)
    with pytest.raises(IntegrityError, match=r"metrics\.csv must be a table of numbers"):
        _ = load_run(copied).history


def test_the_network_is_ready_to_use(run, trained) -> None:
    assert not run.network.training
    assert not any(p.requires_grad for p in run.network.parameters())
    state = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)["network"]
    for name, value in run.network.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_other_weights(copied) -> None:
    saved = torch.load(copied / "checkpoints" / "last.ckpt", weights_only=True)["network"]
    by_name, by_path = load_run(copied, weights="last"), load_run(copied / "checkpoints" / "last.ckpt")
    for opened in (by_name, by_path):
        assert opened.weights == "last"
        assert all(torch.equal(v, saved[k]) for k, v in opened.network.state_dict().items())


def test_one_file_serves_for_both_when_the_best_epoch_was_the_last(copied) -> None:
    record = json.loads((copied / "record.json").read_text())
    assert record["best_epoch"] == record["epochs"] == 2
    drop(copied, "best")
    assert load_run(copied).network is not None


def test_lazy_names(trained) -> None:
    assert nin_exp.load_run is load_run
    assert {"load_run", "load_study", "TrainedRun"} <= set(dir(nin_exp))
    assert isinstance(nin_exp.load_run(str(trained)), TrainedRun)
    with pytest.raises(AttributeError, match="no attribute 'load_runs'"):
        _ = nin_exp.load_runs


def test_study_from_python(trained) -> None:
    study = nin_exp.load_study(trained.parent)
    assert [run.job.job_id for run in study.runs] == [trained.name]


IMPORTS = """
import sys, nin_exp
run = nin_exp.load_run(sys.argv[1])
assert run.metrics["test/acc"] > 0 and run.class_names[0] == "0"
assert "pandas" not in sys.modules and len(run.history) == 2
early = [name for name in ("torch", "torchvision", "pytorch_lightning") if name in sys.modules]
assert not early, early
run.predict(__import__("numpy").zeros((8, 8), "uint8"))
run.explain(__import__("numpy").zeros((8, 8), "uint8"))
never = ("torchvision", "pytorch_lightning", "lightning_fabric", "sklearn", "plotly")
late = [name for name in never if name in sys.modules]
assert not late, late
"""


def in_a_fresh_process(code: str, trained: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, str(trained)],
        env={**os.environ, "PYTHONPATH": str(REPO / "src")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_no_torch_until_needed_and_never_lightning(trained) -> None:
    in_a_fresh_process(IMPORTS, trained)


VERBS = """
import sys
from nin_exp.cli.main import main
run = sys.argv[1]
assert main(["evaluate", run]) == 0
assert main(["predict", run, "photo.png", "--save", "pictures"]) == 0
assert main(["explain", run, "photo.png", "--out", "pictures"]) == 0
assert main(["export", run, "--format", "safetensors", "--output", "w.safetensors"]) == 0
late = [name for name in ("torchvision", "pytorch_lightning", "lightning_fabric", "wandb") if name in sys.modules]
assert not late, late
"""


def test_verbs_on_a_trained_run_never_load_lightning(trained, test_images, in_tmp) -> None:
    Image.fromarray(test_images[0]).save("photo.png")
    in_a_fresh_process(VERBS, trained)


def test_wrong_path_names_the_nearest(copied, monkeypatch) -> None:
    monkeypatch.chdir(copied.parents[2])
    assert load_run(copied.name[:6]).path == Path("runs") / "tiny" / copied.name
    with pytest.raises(ConfigError, match=f"Nearest: .*{copied.name}"):
        load_run(f"runs/tiny/{copied.name[:-2]}xx")


def test_unfinished_run(copied) -> None:
    (copied / "record.json").unlink()
    with pytest.raises(ConfigError, match="has not finished: it has no record"):
        load_run(copied)


def test_failed_run_has_no_network(copied) -> None:
    change_record(copied, status="failed", error="memory ran out")
    opened = load_run(copied)
    with pytest.raises(ConfigError, match=r"must be a run that is done, got failed \(memory ran out\); train"):
        opened.predict(np.zeros((8, 8), np.uint8))
    change_record(copied, status="pruned", error=None)
    with pytest.raises(ConfigError, match="must be a run that is done, got pruned; train it again"):
        load_run(copied).predict(np.zeros((8, 8), np.uint8))


def test_newer_schema_says_which(copied) -> None:
    change_record(copied, schema_version=99)
    with pytest.raises(IntegrityError, match=r"schema version <= \d+, got 99; update"):
        load_run(copied)


@pytest.mark.parametrize("where", [100, -100])
def test_flipped_bit_is_found(copied, where) -> None:
    path = copied / "checkpoints" / "best.ckpt"
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"best\.ckpt does not match its checksum"):
        _ = load_run(copied).network


def test_weights_of_another_network(copied) -> None:
    change_config(copied, lambda c: c["backbone"].update(width=0.2))
    with pytest.raises(IntegrityError, match="does not fit the network of its configuration"):
        _ = load_run(copied).network


def test_keep_none_is_explained(copied) -> None:
    drop(copied, "best")
    drop(copied, "last")
    change_config(copied, lambda c: c["checkpoint"].update(keep="none"))
    opened = load_run(copied)
    assert opened.metrics  # the rest of the run can still be read
    with pytest.raises(IntegrityError, match=r"has no weights: it was trained with checkpoint\.keep=none"):
        _ = opened.network


def test_missing_checkpoint(copied) -> None:
    drop(copied, "best")
    drop(copied, "last")
    with pytest.raises(IntegrityError, match=r"has no weights: .*best.ckpt is missing"):
        _ = load_run(copied).network


def test_selected_weights_were_not_kept(copied) -> None:
    change_record(copied, best_epoch=1)
    drop(copied, "best")
    change_config(copied, lambda c: c["checkpoint"].update(keep="last"))
    with pytest.raises(IntegrityError, match=r"did not keep its selected weights .*weights=last"):
        _ = load_run(copied).network
    assert load_run(copied, weights="last").network is not None


def test_run_of_no_epoch_has_the_weights_it_began_with(copied) -> None:
    change_record(copied, epochs=0, steps=0, best_epoch=None)
    opened = load_run(copied)
    assert opened.history.empty
    assert "val/acc" in opened.history
    norms = [m for m in opened.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all((m.running_mean == 0).all() for m in norms)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "input.json is missing"),
        ("{", "input.json must say how images are prepared, but cannot be read"),
        ('{"image_spec": [3, 8, 8], "mean": [0], "std": [1], "class_names": ["a"], "num_classes": 1}', "contradicts"),
    ],
)
def test_damaged_input_file(copied, content, message) -> None:
    (copied / "input.json").unlink()
    if content is not None:
        (copied / "input.json").write_text(content)
    with pytest.raises(IntegrityError, match=message):
        _ = load_run(copied).class_names


def test_damaged_configuration(copied) -> None:
    change_config(copied, lambda c: c["head"].update(reluu=True))
    with pytest.raises(IntegrityError, match=r"does not fit this version.*head.reluu"):
        load_run(copied)
    (copied / "config.yaml").write_text("a: [")
    with pytest.raises(IntegrityError, match=r"must be the run's configuration, but cannot be read"):
        load_run(copied)


def test_classes_of_strangers_are_refused(copied) -> None:
    change_config(copied, lambda c: c["head"].update(_target_="os.system"))
    with pytest.raises(RefusedError, match=r"os\.system"):
        load_run(copied)


@pytest.mark.parametrize("device", ["gpux", "cuda:99"])
def test_unknown_device(copied, device) -> None:
    with pytest.raises(ConfigError, match=f"device must be one of this machine, got '{device}'"):
        _ = load_run(copied, device=device).network


def test_unknown_weights(copied) -> None:
    with pytest.raises(ConfigError, match="weights must be selected, best or last, got 'first'"):
        load_run(copied, weights="first")


def change_record(run_dir: Path, **values: object) -> None:
    path = run_dir / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_config(run_dir: Path, change) -> None:
    path = run_dir / "config.yaml"
    values = yaml.safe_load(path.read_text())
    change(values)
    path.write_text(yaml.safe_dump(values))


def drop(run_dir: Path, name: str) -> None:
    path = run_dir / "checkpoints" / f"{name}.ckpt"
    assert hashlib.sha256(path.read_bytes()).hexdigest() in path.with_name(f"{name}.ckpt.sha256").read_text()
    path.unlink()
    path.with_name(f"{name}.ckpt.sha256").unlink()
