"""``predict`` on an exported file: the run's answers in the run's words, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nin_exp.cli.main import main
from nin_exp.errors import DataError
from nin_exp.inference.exported import OnnxModel, load_onnx
from nin_exp.inference.run import load_run

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def onnx_file(trained, tmp_path_factory) -> Path:
    return load_run(trained, device="cpu").export("onnx", tmp_path_factory.mktemp("exported") / "digits.onnx")


@pytest.fixture(scope="module")
def model(onnx_file) -> OnnxModel:
    return load_onnx(onnx_file)


@pytest.fixture
def photos(test_images, save_pngs, tmp_path) -> Path:
    save_pngs(test_images[:4], tmp_path / "photos")
    (tmp_path / "photos" / "broken.png").write_bytes(b"none")
    return tmp_path / "photos"


def test_a_hundred_images(run, model, test_images) -> None:
    expected, found = run.predict(test_images[:100]), model.predict(test_images[:100])
    assert [p.class_name for p in found] == [p.class_name for p in expected]
    gaps = np.abs(np.stack([p.probabilities for p in found]) - np.stack([p.probabilities for p in expected]))
    assert gaps.max() < 1e-5


def test_what_a_model_tells(model, trained) -> None:
    assert model.class_names == tuple("0123456789")
    assert model.metrics == json.loads((trained / "record.json").read_text())["metrics"]
    assert model.agreement["num_images"] == 100
    assert repr(model).endswith("digits nin_bn gap)")


def test_images_of_any_kind(model, run, photos) -> None:
    large = np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8), np.ones((3, 5), np.uint8))
    assert model.predict(large)[0].logits == pytest.approx(run.predict(large)[0].logits, abs=1e-4)
    with pytest.raises(DataError, match=r"broken\.png: not an image"):
        model.predict(photos)


@pytest.mark.parametrize("flags", [[], ["--top", "2"], ["--csv", "-"], ["--json"]])
def test_the_verb_prints_the_same(trained, onnx_file, photos, capsys, flags) -> None:
    printed = []
    for source in (trained, onnx_file):
        assert main(["predict", str(source), str(photos), *flags]) == 3
        out, err = capsys.readouterr()
        assert "broken.png: not an image" in err
        assert "1 of 5 images could not be read" in err
        printed.append(out)
    if flags in ([], ["--top", "2"]):
        assert printed[0] == printed[1]
    elif flags == ["--json"]:
        first, second = map(json.loads, printed)
        assert [e.get("class") for e in first] == [e.get("class") for e in second]
        assert [list(e) for e in first] == [list(e) for e in second]
    else:
        first, second = (out.splitlines() for out in printed)
        assert first[0] == second[0]
        assert [row.split(",")[:2] for row in first] == [row.split(",")[:2] for row in second]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--save", "out"], "--save needs a run, got the exported file"),
        (["--weights", "best"], "--weights needs a run, got the exported file"),
        (["--device", "abacus"], "device must be"),
    ],
)
def test_flags_that_need_a_run(onnx_file, photos, capsys, flags, message) -> None:
    assert main(["predict", str(onnx_file), str(photos), *flags]) == 2
    assert message in capsys.readouterr().err


WITHOUT_TORCH = """
import sys
from nin_exp.cli.main import main
assert main(["predict", *sys.argv[1:]]) == 0
import nin_exp
assert nin_exp.load_onnx(sys.argv[1]).predict(sys.argv[2])[0].top(1)
never = ("torch", "torchvision", "pytorch_lightning", "hydra", "onnx", "pandas", "sklearn")
found = [name for name in never if name in sys.modules]
assert not found, found
"""


def test_no_torch_is_loaded(onnx_file, test_images, save_pngs, tmp_path) -> None:
    (path,) = save_pngs(test_images[:1], tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(onnx_file), str(path)],
        env={**os.environ, "PYTHONPATH": str(REPO / "src")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
