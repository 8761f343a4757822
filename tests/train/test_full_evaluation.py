"""The measures of a trained network: by hand, against SciPy, and in a real run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from scipy import ndimage, optimize
from scipy.special import softmax
from torch import Tensor, nn
from torchmetrics.functional import classification as torchmetrics

from nin_exp.contracts.data import ImageArrays
from nin_exp.contracts.model import Network
from nin_exp.evaluation.corruptions import SEVERITIES, STRENGTHS, corrupt, gaussian_blur
from nin_exp.evaluation.localisation import localisation_metrics, localise
from nin_exp.evaluation.resize import resize_curve
from nin_exp.evaluation.shift import shift_curve, shift_images, shift_metrics
from nin_exp.layers.global_pool import GlobalAveragePool
from nin_exp.module.calibration import MAX_TEMPERATURE, fit_temperature
from nin_exp.module.evaluate import Predictions, class_accuracies, metrics, scaled_metrics
from nin_exp.records.record import Record

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def test_temperature_of_logits_that_are_three_times_too_large() -> None:
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(4000, 5, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]
    temperature = fit_temperature(3 * true, labels)
    assert temperature == pytest.approx(3, rel=0.06)
    losses = [nn.functional.cross_entropy(3 * true / t, labels) for t in (temperature, 0.99 * temperature, 3)]
    assert losses[0] == min(losses)
    val = test = Predictions(3 * true.float(), labels)
    scaled, raw = scaled_metrics(val, test), metrics(test, "test")
    assert scaled["val/temperature"] == pytest.approx(temperature, rel=1e-6)
    assert scaled["test/nll_scaled"] == pytest.approx(float(losses[0]), rel=1e-6)
    assert scaled["test/ece_scaled"] < 0.05 < raw["test/ece"]


def test_temperature_has_ends() -> None:
    labels = torch.tensor([0, 1])
    assert fit_temperature(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), labels) == 1.0  # all right: no finite optimum
    assert fit_temperature(torch.tensor([[0.0, 2.0], [2.0, 0.0]]), labels) == MAX_TEMPERATURE  # all wrong
    assert fit_temperature(torch.full((2, 2), 3.0), labels) == 1.0  # a dead head


def test_accuracy_of_each_class() -> None:
    logits = torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 1, 0]])
    found = class_accuracies(Predictions(logits, torch.tensor([0, 0, 1])), 3)
    assert found == {"num_examples": [2, 1, 0], "acc": [0.5, 1.0, None]}


def test_shifting_repeats_the_edge() -> None:
    for dx, dy in ((3, 0), (-2, 1), (0, 0)):
        expected = ndimage.shift(IMAGES, (0, dy, dx, 0), order=0, mode="nearest")
        np.testing.assert_array_equal(shift_images(IMAGES, dx, dy), expected)


def _says(answer: Any) -> Any:
    """A network that answers by a function of the images."""

    def predict(arrays: ImageArrays) -> Predictions:
        logits = nn.functional.one_hot(torch.tensor(answer(arrays.images), dtype=torch.int64), 16).float()
        return Predictions(logits, torch.from_numpy(arrays.labels))

    return predict


def test_a_network_that_reads_the_place_is_not_robust_to_shifts() -> None:
    images = np.zeros((8, 16, 16, 1), np.uint8)
    columns = np.arange(4, 12)
    images[np.arange(8), 8, columns] = 255
    arrays = ImageArrays(images, columns.astype(np.int64))
    curve = shift_curve(_says(lambda x: x.max((1, 3)).argmax(1)), arrays)
    assert curve["pixels"] == [0, 1, 2, 3, 4, 5]
    assert curve["acc"] == curve["consistency"] == [1.0, 0.5, 0.5, 0.5, 0.5, 0.5]  # up and down do not matter to it
    blind = shift_curve(_says(lambda x: np.full(len(x), 5)), arrays)
    assert blind["acc"] == [0.125] * 6
    assert blind["consistency"] == [1.0] * 6
    assert shift_metrics(curve) == {"test/shift_acc": 0.5, "test/shift_consistency": 0.5, "test/shift4_acc": 0.5}
    assert shift_metrics({"pixels": [0], "acc": [1.0], "consistency": [1.0]}) == {}


def test_sizes_that_do_not_fit_are_null() -> None:
    def answer(images: Any) -> Any:
        if images.shape[1] < 12:
            raise RuntimeError("kernel size can't be greater than input size")
        return np.full(len(images), images.shape[1] == 16, int)

    curve = resize_curve(_says(answer), ImageArrays(IMAGES, np.ones(6, np.int64)))
    assert curve == {"side": [8, 12, 16, 20, 24, 32], "acc": [None, 0.0, 1.0, 0.0, 0.0, 0.0]}
    assert resize_curve(_says(answer), ImageArrays(IMAGES[:, :8], np.ones(6, np.int64))) is None

    def exhausted(images: Any) -> Any:
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        resize_curve(_says(exhausted), ImageArrays(IMAGES, np.ones(6, np.int64)))


@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_and_contrast_against_scipy_and_by_hand(severity: int) -> None:
    positions = np.arange(6)
    deviation = STRENGTHS["gaussian_blur"][SEVERITIES.index(severity)]
    values = torch.from_numpy(IMAGES / np.float32(255)).permute(0, 3, 1, 2)
    expected = ndimage.gaussian_filter(values.numpy(), (0, 0, deviation, deviation), mode="nearest", truncate=4)
    np.testing.assert_allclose(gaussian_blur(values, positions, deviation), expected, atol=1e-5)
    factor = STRENGTHS["contrast"][SEVERITIES.index(severity)]
    means = IMAGES.mean((1, 2), keepdims=True)
    changed = corrupt(IMAGES, positions, "contrast", severity)
    np.testing.assert_allclose(changed, (IMAGES - means) * factor + means, atol=0.51)


def test_noise_belongs_to_the_image() -> None:
    gray = np.full((200, 8, 8, 1), 128, np.uint8)
    noisy = corrupt(gray, np.arange(200), "gaussian_noise", 5)
    assert noisy.std() == pytest.approx(0.10 * 255, rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=1)
    assert not np.array_equal(noisy[0], noisy[1])
    some = np.array([7, 150])
    np.testing.assert_array_equal(corrupt(gray[some], some, "gaussian_noise", 5), noisy[some])


class _BrightHead(nn.Module):
    """Two classes: where it is bright, and where it is dark."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = GlobalAveragePool()

    def class_maps(self, features: Tensor) -> Tensor:
        return torch.cat([features, -features], 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.pool(self.class_maps(features))


def test_localisation_by_hand() -> None:
    images = torch.full((3, 1, 8, 8), -1.0)
    images[0, 0, 2:6, 2:6] = 1.0
    images[0, 0, 3, 3] = 2.0  # the highest place, in the box: 20 % of it is exceeded by the whole square
    images[1, 0, 0:2, 0:4] = 1.0  # half of it in the box
    images[1, 0, 0, 0] = 1.5  # the highest place, not in the box
    boxes = np.array([[2, 2, 6, 6], [2, 0, 6, 2], [0, 0, 4, 4]])
    labels = torch.tensor([0, 0, 0])  # the third image shows nothing
    backbone: Any = nn.Identity()
    head: Any = _BrightHead()
    network = Network(backbone, head)
    found = localise(network, [(images, labels, torch.arange(3))], boxes)
    assert found["best"] == "cam"
    assert found["cam"]["pointing_acc"] == pytest.approx(1 / 3)
    assert found["cam"]["box_energy"] == pytest.approx((1 + 4 / 8.5 + 0) / 3)
    assert found["cam"]["box_iou"] == pytest.approx((1 + 4 / 12 + 0) / 3)
    assert found["box_area"] == pytest.approx((16 + 8 + 16) / 64 / 3)
    assert set(found["grad_cam"]) == set(found["cam"])
    expected = {f"test/{name}": value for name, value in found["cam"].items()}
    expected |= {f"test/grad_cam_{name}": value for name, value in found["grad_cam"].items()}
    assert localisation_metrics(found) == expected
    assert network.training  # as it was


FULL = ["dataset=placed_digits", "dataset.canvas=20", "dataset.image_size=null", "evaluation=full"]


def check_against_other_libraries(record: Record, run_dir: Path) -> None:
    """The numbers of a run, computed anew from its predictions by scikit-learn, torchmetrics and SciPy."""
    with np.load(run_dir / "predictions.npz") as kept:
        predictions = {name: kept[name] for name in kept.files}
    classes = list(range(10))
    for split in ("val", "test"):
        logits, labels = predictions[f"{split}_logits"].astype(float), predictions[f"{split}_labels"]
        probabilities = softmax(logits, axis=1)
        brier = sum(np.mean((probabilities[:, k] - (labels == k)) ** 2) for k in classes)
        error = torchmetrics.multiclass_calibration_error(
            torch.tensor(probabilities), torch.tensor(labels), num_classes=10, n_bins=15
        )
        expected = {
            "acc": sklearn.metrics.accuracy_score(labels, logits.argmax(1)),
            "nll": sklearn.metrics.log_loss(labels, probabilities, labels=classes),
            "brier": brier,
            "ece": float(error),
        }
        found = {name: record.metrics[f"{split}/{name}"] for name in expected}
        assert found == pytest.approx(expected, abs=1e-6), split
        matrix = json.loads((run_dir / "per_class.json").read_text())[split]["confusion"]
        assert matrix == sklearn.metrics.confusion_matrix(labels, logits.argmax(1), labels=classes).tolist()

    def loss(logarithm: float) -> float:
        scaled = softmax(predictions["val_logits"].astype(float) / np.exp(logarithm), axis=1)
        return float(sklearn.metrics.log_loss(predictions["val_labels"], scaled, labels=classes))

    temperature = record.metrics["val/temperature"]
    best = optimize.minimize_scalar(loss, bounds=(np.log(0.01), np.log(100)), method="bounded", options={"xatol": 1e-9})
    assert loss(np.log(temperature)) == pytest.approx(best.fun, abs=1e-8)
    scaled = softmax(predictions["test_logits"].astype(float) / temperature, axis=1)
    expected_nll = sklearn.metrics.log_loss(predictions["test_labels"], scaled, labels=classes)
    assert record.metrics["test/nll_scaled"] == pytest.approx(expected_nll, rel=1e-9)


@pytest.fixture(scope="module")
def lists() -> dict[str, set[str]]:
    return {"shift": {"pixels", "acc", "consistency"}, "resize": {"side", "acc"}}


@pytest.mark.parametrize("head", ["gap_linear", "flatten_linear", "fc"])
def test_a_full_evaluation_in_a_run(runs, head: str, lists: dict[str, set[str]]) -> None:  # type: ignore[no-untyped-def]
    options = [*FULL, f"head={head}", "trainer.max_epochs=2", "evaluation.full_images=60"]
    record, run_dir = runs.train(*options)
    content = json.loads((run_dir / "evaluation.json").read_text())
    assert content["num_images"] == 60
    assert set(content["shift"]) == lists["shift"]
    assert content["shift"]["pixels"] == [0, 1, 2, 3, 4, 5, 6]
    if head == "gap_linear":
        assert set(content["resize"]) == lists["resize"]
        assert content["resize"]["acc"][2] == content["shift"]["acc"][0]  # nothing changed
        assert content["localisation"]["best"] == "cam"
    else:
        assert content["resize"] is None  # this head takes one size
        assert content["localisation"]["best"] == "grad_cam"
        kinds = {"grad_cam", "class_maps"} if head == "fc" else {"grad_cam"}
        assert set(content["localisation"]) == {"best", "box_area", *kinds}
    assert set(content["corruptions"]) == {"gaussian_noise", "gaussian_blur", "contrast"}
    assert 0.1 < content["localisation"]["box_area"] < 0.6
    places = ("pointing_acc", "box_energy", "box_iou")
    added = {"shift_acc", "shift_consistency", "shift4_acc", "corrupted_acc", *places}
    added |= {f"grad_cam_{name}" for name in places}
    assert {f"test/{name}" for name in added} <= set(record.metrics)
    assert record.metrics["test/shift4_acc"] == content["shift"]["acc"][4]
    check_against_other_libraries(record, run_dir)
    assert runs.job(*options[:3], "evaluation.level=full", *options[4:]).job_id == run_dir.name  # the same in full
    basic = runs.job(*options[:3], *options[4:])
    assert basic.job_id != run_dir.name  # a run that was measured less does not count as done


def test_what_every_run_measures(runs) -> None:  # type: ignore[no-untyped-def]
    record, run_dir = runs.train("evaluation.target_acc=0.05", "trainer.max_epochs=2", "augment=none")
    found = record.metrics
    assert {"test/ece_scaled", "test/nll_scaled", "val/temperature", "train_eval/acc", "gap/acc"} <= set(found)
    assert found["gap/acc"] == pytest.approx(found["train_eval/acc"] - found["test/acc"])
    assert not (run_dir / "evaluation.json").exists()
    per_class = json.loads((run_dir / "per_class.json").read_text())
    counts, shares = per_class["test"]["num_examples"], per_class["test"]["acc"]
    assert sum(counts) == record.data["num_test"]
    assert sum(n * a for n, a in zip(counts, shares, strict=True)) / sum(counts) == pytest.approx(found["test/acc"])
    assert len(per_class["class_names"]) == 10
    with (run_dir / "metrics.csv").open() as file:
        reached = [int(row["epoch"]) for row in csv.DictReader(file) if float(row["val/acc"]) >= 0.05]
    assert found["val/epochs_to_target"] == reached[0]
    record, _ = runs.train("evaluation.target_acc=0.999", "trainer.max_epochs=1")
    assert record.flags == ("target_not_reached",)
    assert "val/epochs_to_target" not in record.metrics
