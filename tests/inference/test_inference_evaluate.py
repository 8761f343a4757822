"""Splits, other data sets, and test readings that are kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import resolve_config_dirs
from nin_exp.data.sources.digits import read_digits
from nin_exp.errors import ConfigError, DataError, IntegrityError, RefusedError
from nin_exp.inference.evaluate import Evaluation, evaluate
from nin_exp.inference.other_data import choose_data
from nin_exp.inference.run import load_run


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(resolve_config_dirs(None))


def evaluated(run_dir: Path, composer: Composer, *overrides: str, split="val", again=False, **options) -> Evaluation:
    run = load_run(run_dir, device="cpu", **options)
    choice = choose_data(run.config, run.input_spec.image_spec, overrides, composer)
    return evaluate(run, choice, split, again=again)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The digits' own test images in colour, four times as large, classes in another order, one class missing."""
    digits = read_digits()
    kept = digits.is_test & (digits.labels != 4)
    images = np.kron(digits.images[kept], np.ones((1, 4, 4), np.uint8))
    names = [str(name) for name in (9, 8, 7, 6, 5, 3, 2, 1, 0)]
    labels = np.array([names.index(str(label)) for label in digits.labels[kept]])
    colour = np.repeat(images[..., None], 3, axis=3)
    path = tmp_path / "other.npz"
    np.savez(path, x_train=colour[:200], y_train=labels[:200], x_test=colour, y_test=labels, class_names=names)
    return path


@pytest.mark.parametrize("split", ["val", "test"])
def test_metrics_are_those_of_the_record(copied, composer, split) -> None:
    result = evaluated(copied, composer, split=split, again=True)
    record = json.loads((copied / "record.json").read_text())
    expected = {k: v for k, v in record["metrics"].items() if k.startswith(f"{split}/")}
    assert result.metrics == pytest.approx(expected, abs=1e-6)
    assert result.num_examples == record["data"][f"num_{split}"]
    assert result.notes == ()


def test_training_split(copied, composer) -> None:
    result = evaluated(copied, composer, split="train")
    assert result.num_examples == json.loads((copied / "record.json").read_text())["data"]["num_train"]
    assert set(result.metrics) == {f"train/{name}" for name in ("loss", "acc", "nll", "brier", "ece")}


def test_classes_add_up(copied, composer) -> None:
    result = evaluated(copied, composer)
    predicted = result.logits.argmax(1)
    assert result.confusion.sum() == result.num_examples
    assert np.trace(result.confusion) / result.num_examples == pytest.approx(result.metrics["val/acc"])
    for index, score in enumerate(result.classes):
        mine, taken = result.labels == index, predicted == index
        assert score.num_examples == mine.sum()
        assert score.accuracy == pytest.approx((predicted[mine] == index).mean())
        assert score.precision == (pytest.approx((result.labels[taken] == index).mean()) if taken.any() else None)
        others = [(int((predicted[mine] == k).sum()), result.classes[k].name) for k in range(10) if k != index]
        assert score.num_confused == max(others)[0]
        if score.confused_with is not None:
            assert (score.num_confused, score.confused_with) in others


def test_the_test_split_is_refused_unless_again(copied, composer) -> None:
    with pytest.raises(RefusedError, match=r"the test split was read already .*--again"):
        evaluated(copied, composer, split="test")
    assert not (copied / "evaluations.json").exists()
    for _ in range(2):
        evaluated(copied, composer, split="test", again=True)
    kept = json.loads((copied / "evaluations.json").read_text())
    record = json.loads((copied / "record.json").read_text())
    assert kept["schema_version"] == 1
    assert [entry["again"] for entry in kept["evaluations"]] == [True, True]
    assert kept["evaluations"][0]["fingerprint"] == record["data"]["fingerprint"]
    assert kept["evaluations"][0]["metrics"]["test/acc"] == pytest.approx(record["metrics"]["test/acc"])
    assert not list(copied.glob(".evaluations*"))


def test_naming_the_own_data_is_no_way_around(copied, composer) -> None:
    with pytest.raises(RefusedError, match="the test split was read already"):
        evaluated(copied, composer, "dataset=digits", split="test")


def test_validation_leaves_no_trace(copied, composer) -> None:
    before = sorted(copied.rglob("*"))
    evaluated(copied, composer)
    assert sorted(copied.rglob("*")) == before


def test_another_data_set_is_matched_by_class_names(copied, composer, other, test_logits) -> None:
    overrides = ("dataset=arrays", f"dataset.source='{other}'")
    result = evaluated(copied, composer, *overrides, split="test")
    digits = read_digits()
    labels = digits.labels[digits.is_test]
    kept = labels != 4
    np.testing.assert_array_equal(result.labels, labels[kept])
    # Enlarged by whole factors and made smaller again: nearly the same images, so mostly the same answers.
    assert (result.logits.argmax(1) == test_logits[kept].argmax(1)).mean() > 0.6
    missing = result.classes[4]
    assert (missing.num_examples, missing.accuracy) == (0, None)
    with pytest.raises(RefusedError, match="the test split was read already"):
        evaluated(copied, composer, *overrides, split="test")


def test_the_own_numbers_normalise_other_data(copied, composer, other) -> None:
    """Half as bright images must look darker to the network, not be stretched to their own mean."""
    with np.load(other) as file:
        content = dict(file)
    dark = other.with_name("dark.npz")
    np.savez(dark, **{**content, "x_train": content["x_train"] // 2, "x_test": content["x_test"] // 2})
    run = load_run(copied, device="cpu")
    result = evaluated(copied, composer, "dataset=arrays", f"dataset.source='{dark}'", split="test")
    expected = run.predict(content["x_test"][:50] // 2)
    np.testing.assert_allclose(result.logits[:50], [p.logits for p in expected], atol=1e-5)


def test_classes_that_differ(copied, composer, other) -> None:
    with np.load(other) as file:
        content = dict(file)
    names = ["zero", "one", *content["class_names"][2:]]
    strange = other.with_name("strange.npz")
    np.savez(strange, **{**content, "class_names": names})
    with pytest.raises(DataError, match=r"must hold classes of the run alone \(0, 1, .*got zero, one; evaluate"):
        evaluated(copied, composer, "dataset=arrays", f"dataset.source='{strange}'")


def test_the_checkpoint_is_verified_before_data_are_read(copied, composer) -> None:
    path = copied / "checkpoints" / "best.ckpt"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="does not match its checksum"):
        evaluated(copied, composer, "dataset=arrays", "dataset.source=/nowhere.npz")


def test_data_that_have_changed_are_noted(copied, composer) -> None:
    path = copied / "record.json"
    record = json.loads(path.read_text())
    record["data"]["fingerprint"] = "0" * 64
    path.write_text(json.dumps(record))
    (note,) = evaluated(copied, composer).notes
    assert "val may hold images it was trained on" in note


def test_other_weights_are_noted(copied, composer) -> None:
    (note,) = evaluated(copied, composer, weights="last").notes
    assert note == "these are the last weights, not those of the run's metrics"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("head=fc", "head=fc must set data"),
        ("trainer.max_epochs=3", "trainer.max_epochs=3 must set data"),
        ("dataset=digits,mnist", "dataset=digits,mnist must be one value"),
        ("dataset=digitz", "dataset=digitz is not an option of dataset. Did you mean 'digits'"),
        ("dataset.sorce=x", "Did you mean 'source'"),
        ("dataset.val_fraction=2", r"dataset.val_fraction must lie in \(0, 1\), got 2"),
        ("dataset", "must have the form key=value"),
    ],
)
def test_overrides_are_of_data_alone(copied, composer, override, message) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluated(copied, composer, override)


@pytest.mark.parametrize(("content", "message"), [("{", "cannot be read"), ('{"schema_version": 9, "evaluations": []}', "got 9")])  # fmt: skip
def test_damaged_log(copied, composer, content, message) -> None:
    (copied / "evaluations.json").write_text(content)
    with pytest.raises(IntegrityError, match=f"evaluations.json must .*{message}"):
        evaluated(copied, composer, split="test")
