"""Splits, other data sets, and test readings that are kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from nin_exp.cli.main import main
from nin_exp.data.sources.digits import read_digits
from nin_exp.errors import ConfigError, DataError, IntegrityError, RefusedError, StorageError
from nin_exp.inference.evaluate import Evaluation
from nin_exp.inference.run import load_run


def evaluated(run_dir: Path, *overrides: str, split="val", again=False, **options) -> Evaluation:
    return load_run(run_dir, device="cpu", **options).evaluate(split, overrides, again=again)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The digits' own test images in colour, classes in another order, one class missing."""
    digits = read_digits()
    kept = digits.is_test & (digits.labels != 4)
    names = [str(name) for name in (9, 8, 7, 6, 5, 3, 2, 1, 0)]
    labels = np.array([names.index(str(label)) for label in digits.labels[kept]])
    colour = np.repeat(digits.images[kept][..., None], 3, axis=3)
    path = tmp_path / "other.npz"
    np.savez(path, x_train=colour[:200], y_train=labels[:200], x_test=colour, y_test=labels, class_names=names)
    return path


@pytest.mark.parametrize("split", ["val", "test"])
def test_metrics_are_those_of_the_record(copied, split) -> None:
    result = evaluated(copied, split=split, again=True)
    record = json.loads((copied / "record.json").read_text())
    expected = {k: v for k, v in record["metrics"].items() if k.startswith(f"{split}/") and k != "val/temperature"}
    assert result.metrics == pytest.approx(expected, abs=1e-6)
    assert result.num_examples == record["data"][f"num_{split}"]
    assert result.notes == ()


def test_training_split(copied) -> None:
    result = evaluated(copied, split="train")
    assert result.num_examples == json.loads((copied / "record.json").read_text())["data"]["num_train"]
    assert set(result.metrics) == {f"train/{name}" for name in ("loss", "acc", "nll", "brier", "ece")}


def test_classes_add_up(copied) -> None:
    result = evaluated(copied)
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


def test_the_test_split_is_refused_unless_again(copied, capsys) -> None:
    with pytest.raises(RefusedError, match=r"the test split was read already .*--again"):
        evaluated(copied, split="test")
    assert not (copied / "evaluations.json").exists()
    for _ in range(2):
        evaluated(copied, split="test", again=True)
    kept = json.loads((copied / "evaluations.json").read_text())
    record = json.loads((copied / "record.json").read_text())
    assert kept["schema_version"] == 1
    assert [entry["again"] for entry in kept["evaluations"]] == [True, True]
    assert kept["evaluations"][0]["fingerprint"] == record["data"]["fingerprint"]
    assert kept["evaluations"][0]["metrics"]["test/acc"] == pytest.approx(record["metrics"]["test/acc"])
    assert not list(copied.glob(".evaluations*"))
    assert main(["show", str(copied)]) == 0
    readings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("test read")]
    assert readings == [f"test read     {entry['at']} of digits again" for entry in kept["evaluations"]]


def test_a_reading_that_could_not_be_kept_does_not_happen(copied) -> None:
    (copied / "evaluations.json").mkdir()
    with pytest.raises(StorageError, match=r"evaluations\.json cannot be written: it is a folder"):
        evaluated(copied, "dataset.source=/nowhere", split="test", again=True)


def test_naming_the_own_data_is_no_way_around(copied) -> None:
    with pytest.raises(RefusedError, match="the test split was read already"):
        evaluated(copied, "dataset=digits", split="test")


def test_validation_leaves_no_trace(copied) -> None:
    before = sorted(copied.rglob("*"))
    evaluated(copied)
    assert sorted(copied.rglob("*")) == before


def test_another_data_set_is_matched_by_class_names(copied, other, test_logits) -> None:
    overrides = ("dataset=arrays", f"dataset.source='{other}'")
    result = evaluated(copied, *overrides, split="test")
    digits = read_digits()
    labels = digits.labels[digits.is_test]
    kept = labels != 4
    np.testing.assert_array_equal(result.labels, labels[kept])
    np.testing.assert_allclose(result.logits, test_logits[kept], atol=1e-5)
    missing = result.classes[4]
    assert (missing.num_examples, missing.accuracy) == (0, None)
    with pytest.raises(RefusedError, match="the test split was read already"):
        evaluated(copied, *overrides, split="test")


def test_the_own_numbers_prepare_other_data(copied, other) -> None:
    """Images half as bright must look darker to the network, not be stretched to their own mean; any size will do."""
    with np.load(other) as file:
        content = dict(file)
    dark = {key: np.kron(content[key] // 2, np.ones((1, 4, 3, 1), np.uint8)) for key in ("x_train", "x_test")}
    path = other.with_name("dark.npz")
    np.savez(path, **{**content, **dark})
    run = load_run(copied, device="cpu")
    result = evaluated(copied, "dataset=arrays", f"dataset.source='{path}'", split="test")
    expected = run.predict(dark["x_test"][:50])
    np.testing.assert_allclose(result.logits[:50], [p.logits for p in expected], atol=1e-5)


def test_classes_that_differ(copied, other) -> None:
    with np.load(other) as file:
        content = dict(file)
    names = ["zero", "one", *content["class_names"][2:]]
    strange = other.with_name("strange.npz")
    np.savez(strange, **{**content, "class_names": names})
    with pytest.raises(DataError, match=r"must hold classes of the run alone \(0, 1, .*got zero, one; evaluate"):
        evaluated(copied, "dataset=arrays", f"dataset.source='{strange}'")


def test_the_checkpoint_is_verified_before_data_are_read(copied) -> None:
    path = copied / "checkpoints" / "best.ckpt"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="does not match its checksum"):
        evaluated(copied, "dataset=arrays", "dataset.source=/nowhere.npz")


def test_data_that_have_changed_are_noted(copied) -> None:
    path = copied / "record.json"
    record = json.loads(path.read_text())
    record["data"]["fingerprint"] = "0" * 64
    path.write_text(json.dumps(record))
    (note,) = evaluated(copied).notes
    assert "val may hold images it was trained on" in note


def test_other_weights_are_noted(copied) -> None:
    (note,) = evaluated(copied, weights="last").notes
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
def test_overrides_are_of_data_alone(copied, override, message) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluated(copied, override)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read"), ('{"schema_version": 9, "evaluations": []}', "got 9")],
)
def test_damaged_log(copied, content, message) -> None:
    (copied / "evaluations.json").write_text(content)
    with pytest.raises(IntegrityError, match=f"evaluations.json must .*{message}"):
        evaluated(copied, split="test")


def test_unknown_split(copied) -> None:
    with pytest.raises(ConfigError, match=r"split must be val, train or test, got 'valid'\. Did you mean 'val'"):
        evaluated(copied, split="valid")


def test_moved_data_are_found_with_their_new_place(copied, tmp_path) -> None:
    """A run trained on a file that lies elsewhere now: its content says that these are its own data."""
    digits = read_digits()
    content = {
        "x_train": digits.images[~digits.is_test], "y_train": digits.labels[~digits.is_test],
        "x_test": digits.images[digits.is_test], "y_test": digits.labels[digits.is_test],
        "class_names": [str(digit) for digit in range(10)],
    }  # fmt: skip
    here = tmp_path / "here.npz"
    np.savez(here, **content)
    path = copied / "config.yaml"
    values = yaml.safe_load(path.read_text())
    values["dataset"] |= {"_target_": "nin_exp.data.sources.arrays.Arrays", "source": "gone.npz", "test_fraction": 0.2}
    values["choices"]["dataset"] = "arrays"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(DataError, match=r"gone\.npz"):
        evaluated(copied)
    result = evaluated(copied, f"dataset.source='{here}'")
    assert result.notes == ()
    assert result.metrics["val/acc"] == json.loads((copied / "record.json").read_text())["metrics"]["val/acc"]
    with pytest.raises(RefusedError, match="the test split was read already"):
        evaluated(copied, f"dataset.source='{here}'", split="test")
