"""Evaluate a trained run on a split of its own data, or of another data set with the same classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from nin_exp.build import build_dataset
from nin_exp.contracts.data import ImageArrays, ImageSpec
from nin_exp.data.folder import resolve_data_dir
from nin_exp.data.prepare import prepare
from nin_exp.errors import DataError
from nin_exp.inference.evaluation_log import EvaluationLog
from nin_exp.inference.files import check_writable
from nin_exp.inference.images import fit, read_levels
from nin_exp.inference.other_data import DataChoice
from nin_exp.module.evaluate import Predictions, metrics

if TYPE_CHECKING:
    from nin_exp.inference.run import TrainedRun

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class ClassScore:
    """How one class fares.

    Args:
        accuracy: share of its examples that were recognised; None without an example.
        precision: share of right ones among those taken for it; None when nothing was.
        confused_with: the class its examples were most often taken for; None when none was mistaken.
        num_confused: how often.
    """

    name: str
    num_examples: int
    accuracy: float | None
    precision: float | None
    confused_with: str | None
    num_confused: int


@dataclass(frozen=True)
class Evaluation:
    """What a run says of a split.

    Args:
        dataset: the option's name, such as ``mnist``.
        fingerprint: of the data set, as in a record.
        metrics: named ``split/name``; accuracies are fractions.
        confusion: int64 ``(K, K)``, true classes by predicted ones.
        logits: float32 ``(N, K)``, in the split's order.
        labels: int64 ``(N,)``, numbers of the run's classes.
        notes: what a reader must know, such as data that have changed.
    """

    split: Split
    dataset: str
    fingerprint: str
    metrics: dict[str, float]
    classes: tuple[ClassScore, ...]
    confusion: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    notes: tuple[str, ...]

    @property
    def num_examples(self) -> int:
        """Number of examples; all of the split."""
        return len(self.labels)


def evaluate(run: TrainedRun, choice: DataChoice, split: Split, *, again: bool) -> Evaluation:
    """Evaluate every example of a split; the checkpoint is verified before any data are read.

    Args:
        again: read a test split that was read before; it is kept in ``evaluations.json``.

    Raises:
        IntegrityError: the run's weights were not kept, or are damaged.
        RefusedError: the test split was read before.
        StorageError: a test reading could not be kept in the run's folder.
        DataError: the data cannot be read, or are of other classes.
    """
    predictor = run.predictor  # loads the network, and verifies its checkpoint
    log = EvaluationLog(run.path, run.record)
    own = None if choice.is_other else run.record.data.get("fingerprint")
    if split == "test":  # before minutes of reading
        check_writable(log.path)
        if own is not None:
            log.refuse_second(own, again=again)
    config = replace(run.config, dataset=choice.node)
    data = prepare(
        build_dataset(config, choice.allowed_packages), resolve_data_dir(choice.data_dir), run.config.split_seed
    )
    if split == "test":
        log.refuse_second(data.fingerprint, again=again)
    labels = _own_labels(data.class_names, run.class_names, choice.name)
    arrays = {"train": data.train, "val": data.val, "test": data.test}[split]
    arrays = _conform(arrays, run.input_spec.image_spec)
    predictions = predictor.predictions(ImageArrays(arrays.images, labels[arrays.labels]))
    scores = metrics(predictions, split) | _scaled(run, predictions, split)
    if split == "test":
        log.add(data.fingerprint, choice, scores, len(arrays), weights=run.weights, again=again)
    confusion = _confusion(predictions)
    return Evaluation(
        split=split,
        dataset=choice.name,
        fingerprint=data.fingerprint,
        metrics=scores,
        classes=tuple(_class_scores(confusion, run.class_names)),
        confusion=confusion,
        logits=predictions.logits.numpy(),
        labels=predictions.labels.numpy(),
        notes=tuple(_notes(run, data.fingerprint, split, choice)),
    )


def _scaled(run: TrainedRun, predictions: Predictions, split: Split) -> dict[str, float]:
    """The test's calibration at the temperature that the run found on its validation split."""
    name = "val/temperature"
    if split != "test" or run.weights != "selected" or name not in run.record.metrics:
        return {}
    logits = predictions.logits.double() / run.record.metrics[name]
    scaled = metrics(Predictions(logits, predictions.labels), split)
    return {"test/nll_scaled": scaled["test/nll"], "test/ece_scaled": scaled["test/ece"]}


def _notes(run: TrainedRun, fingerprint: str, split: Split, choice: DataChoice) -> list[str]:
    notes = []
    if not choice.is_other and fingerprint != run.record.data.get("fingerprint"):
        notes.append(
            "the data are not those the run was trained on: they have changed, and its splits with them; "
            f"{split} may hold images it was trained on"
        )
    if run.weights != "selected":
        notes.append(f"these are the {run.weights} weights, not those of the run's metrics")
    return notes


def _own_labels(names: Sequence[str], own: Sequence[str], dataset: str) -> npt.NDArray[np.int64]:
    """The run's class number for each class number of the data, matched by name.

    Raises:
        DataError: the data hold a class that the run does not know.
    """
    unknown = [name for name in names if name not in own]
    if unknown:
        raise DataError(
            f"dataset={dataset} must hold classes of the run alone ({_some(own)}), got {_some(unknown)}; "
            "evaluate on data with the same class names"
        )
    return np.array([own.index(name) for name in names], dtype=np.int64)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _conform(arrays: ImageArrays, spec: ImageSpec) -> ImageArrays:
    """Images with the network's channels and size, as ``predict`` makes them of files."""
    if arrays.images.shape[1:] == (spec.height, spec.width, spec.channels):
        return arrays
    images = np.empty((len(arrays), spec.height, spec.width, spec.channels), dtype=np.uint8)
    for row, image in enumerate(arrays.images):
        images[row] = fit(read_levels(image, spec.channels, f"image {row}"), spec)
    return ImageArrays(images, arrays.labels)


def _confusion(predictions: Predictions) -> npt.NDArray[np.int64]:
    num_classes = predictions.logits.shape[1]
    cells = predictions.labels.numpy() * num_classes + predictions.logits.argmax(1).numpy()
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


def _class_scores(confusion: npt.NDArray[np.int64], names: Sequence[str]) -> list[ClassScore]:
    scores = []
    for index, name in enumerate(names):
        hits, total = int(confusion[index, index]), int(confusion[index].sum())
        taken = int(confusion[:, index].sum())
        mistaken = confusion[index].copy()
        mistaken[index] = 0
        worst = int(mistaken.argmax())
        scores.append(
            ClassScore(
                name=name,
                num_examples=total,
                accuracy=hits / total if total else None,
                precision=hits / taken if taken else None,
                confused_with=names[worst] if mistaken[worst] else None,
                num_confused=int(mistaken[worst]),
            )
        )
    return scores
