"""A run with any preprocessing is used from its directory alone, with the logits of training."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from nin_exp.data.prepare import prepare
from nin_exp.data.sources.digits import Digits, read_digits
from nin_exp.errors import IntegrityError
from nin_exp.inference.input_spec import InputSpec
from nin_exp.inference.run import load_run
from nin_exp.train.run_files import write_input


def digits(preprocess: str) -> Digits:
    return Digits(
        source=None, image_size=None, val_fraction=0.1, preprocess=preprocess, train_fraction=0.1, train_limit=None
    )


@pytest.mark.parametrize("preprocess", ["standardize", "centered", "signed", "unit", "gcn", "gcn_zca", "lcn"])
def test_input_file_and_back(tmp_path, preprocess) -> None:
    data = prepare(digits(preprocess), tmp_path / "data", 0)
    write_input(tmp_path, data)
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    spec = InputSpec.read(tmp_path)
    assert (spec.image_spec, spec.class_names) == (data.image_spec, data.class_names)
    assert np.array_equal(spec.preprocessing.apply(data.test.images), data.preprocessing.apply(data.test.images))


def test_input_file_of_the_first_version(tmp_path) -> None:
    names = list("ab")
    old = {"image_spec": [1, 2, 2], "mean": [0.5], "std": [0.25], "class_names": names, "num_classes": 2}
    (tmp_path / "input.json").write_text(json.dumps(old))
    images = np.array([[[0, 255], [51, 102]]], dtype=np.uint8)[..., None]
    found = InputSpec.read(tmp_path).preprocessing.apply(images)
    np.testing.assert_allclose(found.ravel(), (images.ravel() / 255 - 0.5) / 0.25, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [{"kind": "pca"}, {"scale": 0}, {"scale": "x"}, {"min_divisor": None}],
    ids=str,
)
def test_damaged_settings(tmp_path, change) -> None:
    write_input(tmp_path, prepare(digits("gcn"), tmp_path / "data", 0))
    values = json.loads((tmp_path / "input.json").read_text())
    values["preprocess"] |= change
    (tmp_path / "input.json").write_text(json.dumps(values))
    with pytest.raises(IntegrityError, match=r"input\.json must say how images are prepared, but cannot be read"):
        InputSpec.read(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("preprocess", ["gcn_zca", "lcn"])
def test_raw_images_give_the_logits_of_training(nin_exp, tmp_path, preprocess) -> None:
    done = nin_exp(
        "train", "dataset=digits", f"dataset.preprocess={preprocess}", "augment=translate", "augment.translate=1",
        "backbone=nin_bn", "backbone.width=0.1", "trainer.max_epochs=1", "trainer.threads=1", "study=tiny",
        f"data_dir={tmp_path / 'data'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = tmp_path.glob("runs/tiny/*/record.json")
    run = load_run(record.parent, device="cpu")
    result = run.evaluate("val")
    assert result.metrics["val/loss"] == pytest.approx(run.metrics["val/loss"], abs=1e-5)
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    table = read_digits()
    with np.load(record.parent / "predictions.npz") as file:
        logits = file["test_logits"]
    found = run.predict(table.images[table.is_test])
    np.testing.assert_allclose(np.stack([p.logits for p in found]), logits, atol=1e-5, rtol=0)
    if preprocess == "gcn_zca":
        (record.parent / "whitening.npz").unlink()
        with pytest.raises(IntegrityError, match=r"whitening\.npz must hold the run's whitening"):
            _ = load_run(record.parent, device="cpu").class_names
