"""Runs on real images, used from another folder with their data moved away: every verb, and ONNX against the run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nin_exp.inference.exported import load_onnx
from nin_exp.inference.run import load_run

REPO = Path(__file__).resolve().parents[2]
NARROW = ["backbone=nin_bn", "backbone.width=0.1", "trainer.batch_size=32"]
TRAINED = {
    "cifar10": ["dataset=cifar10", "dataset.train_limit=2000", "head=gap", *NARROW],
    "flowers": ["dataset=flowers", "dataset.image_size=32", "head=fc", *NARROW],
    "numpy": ["dataset=cifar10", "dataset.train_limit=500", "engine=numpy", "backbone=lenet", "head=gap"],
}
FORMATS = ("onnx", "torch", "safetensors", "numpy")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass
class Elsewhere:
    """A folder that holds a run and 100 real test images, and no data set."""

    folder: Path
    run: Path
    images: list[Path]
    data: Path

    def nin_exp(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a verb there."""
        nowhere = {"NIN_EXP_DATA": str(self.folder / "no data"), "PYTHONPATH": str(REPO / "src")}
        return subprocess.run(
            [sys.executable, "-m", "nin_exp", *map(str, arguments)],
            cwd=self.folder, env={**os.environ, **nowhere, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module", params=TRAINED)
def elsewhere(request, find_real_data, tmp_path_factory) -> Elsewhere:
    """Trained beside its data, then moved; what it was trained on is gone."""
    if find_real_data is None:
        pytest.skip("real images: set NIN_EXP_DATA")
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    (here / "data").mkdir()
    for name in ("cifar10.npz", "flowers"):
        (here / "data" / name).symlink_to(find_real_data / name)
    start = ["train", *TRAINED[request.param], "data_dir=data", "optimizer=adamw", "trainer.max_epochs=1"]
    done = subprocess.run(
        [sys.executable, "-m", "nin_exp", *start, "trainer.threads=1", "evaluation.level=basic", "study=real"],
        cwd=here, env={**os.environ, "PYTHONPATH": str(REPO / "src")},
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = here.glob("runs/real/*/record.json")
    shutil.move(record.parent, there / "run")
    shutil.rmtree(here)
    (there / "images").mkdir()
    if request.param == "flowers":
        images = sorted((find_real_data / "flowers").rglob("*.jpg"))[::31][:100]
        for path in images:
            shutil.copy(path, there / "images")
    else:
        with np.load(find_real_data / "cifar10.npz") as file:
            for number, image in enumerate(file["x_test"][:100]):
                Image.fromarray(image).save(there / "images" / f"{number:03}.png")
    images = sorted((there / "images").iterdir())
    assert len(images) == 100
    return Elsewhere(there, there / "run", images, find_real_data)


def test_predict(elsewhere) -> None:
    done = elsewhere.nin_exp("predict", elsewhere.run, "images", "--json", "--save", "saved")
    assert done.returncode == 0, done.stderr
    entries = json.loads(done.stdout)
    assert len(entries) == len(list((elsewhere.folder / "saved").iterdir())) == 100
    expected = load_run(elsewhere.run, device="cpu").predict(elsewhere.images)
    assert [entry["class"] for entry in entries] == [prediction.class_name for prediction in expected]


def test_explain(elsewhere) -> None:
    done = elsewhere.nin_exp("explain", "run", *elsewhere.images[:2], "--out", "explained", "--json")
    assert done.returncode == 0, done.stderr
    has_cam = load_run(elsewhere.run).record.head == "gap"
    for entry in json.loads(done.stdout):
        assert set(entry["boxes"]) == ({"cam", "grad_cam"} if has_cam else {"grad_cam"})
    assert ("head=fc has no CAM" in done.stderr) == (not has_cam)
    names = {path.name for path in (elsewhere.folder / "explained").iterdir()}
    assert names == {"class_maps.png", "filters.png", *(f"{path.stem}.png" for path in elsewhere.images[:2])}


@pytest.mark.parametrize("kind", FORMATS)
def test_export(elsewhere, kind) -> None:
    """Compared on the 100 real images; an ONNX file then predicts as the run does."""
    done = elsewhere.nin_exp("export", "run", "--format", kind, "--output", f"{kind}/", "--images", "images", "--json")
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    assert (elsewhere.folder / written["card"]).is_file()
    if kind in ("safetensors", "numpy"):
        assert written["agreement"] is None
        return
    assert written["agreement"]["images"] == "100 given images"
    assert written["agreement"]["max_probability_difference"] < 1e-5
    if kind == "onnx":
        expected = load_run(elsewhere.run, device="cpu").predict(elsewhere.images)
        found = load_onnx(elsewhere.folder / written["file"]).predict(elsewhere.images)
        assert [p.class_name for p in found] == [p.class_name for p in expected]
        gaps = np.abs(np.stack([p.probabilities for p in found]) - np.stack([p.probabilities for p in expected]))
        assert gaps.max() < 1e-5
        by_verb = elsewhere.nin_exp("predict", written["file"], "images", "--json")
        assert [entry["class"] for entry in json.loads(by_verb.stdout)] == [p.class_name for p in expected]


def test_evaluate_needs_the_data_and_says_where_to_put_them(elsewhere) -> None:
    done = elsewhere.nin_exp("evaluate", "run")
    assert done.returncode == 3
    assert "dataset.source" in done.stderr or "data_dir" in done.stderr or "NIN_EXP_DATA" in done.stderr, done.stderr
    done = elsewhere.nin_exp("evaluate", "run", f"data_dir={elsewhere.data}", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads((elsewhere.run / "record.json").read_text())
    assert json.loads(done.stdout)["metrics"]["val/acc"] == pytest.approx(record["metrics"]["val/acc"])
    done = elsewhere.nin_exp("evaluate", "run", f"data_dir={elsewhere.data}", "--split", "test")
    assert done.returncode == 5
    assert "the test split was read already" in done.stderr


def test_python(elsewhere, monkeypatch) -> None:
    monkeypatch.chdir(elsewhere.folder)
    run = load_run("run", device="cpu")
    assert run.metrics["test/acc"] > 0
    assert len(run.history) == 1
    logits = run.model(torch.zeros(1, 3, 32, 32))
    assert logits.shape == (1, len(run.class_names))
    assert run.explain(elsewhere.images[0])[0].grad_cam.ndim == 2
