"""Everything that is measured of a trained run, and the files that hold it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from nin_exp.config import ExperimentConfig
from nin_exp.contracts.data import ImageArrays
from nin_exp.contracts.model import Network
from nin_exp.data.loader import BatchLoader
from nin_exp.data.prepare import PreparedData
from nin_exp.errors import DivergedError
from nin_exp.evaluation.full import EVALUATION_FILE, measure_fully
from nin_exp.module.evaluate import Predictions, class_accuracies, is_constant, metrics, predict, scaled_metrics
from nin_exp.records.files import write_json
from nin_exp.stats.confusion import confusion
from nin_exp.train.dead_head import DEAD_HEAD, remedy
from nin_exp.train.limit import evenly_spread, take
from nin_exp.train.panel import write_panel
from nin_exp.train.run_files import write_class_maps, write_predictions

log = logging.getLogger("nin_exp")

PER_CLASS_FILE = "per_class.json"
MOST_CLASSES = 200
"""Of a confusion matrix that is written out; the predictions hold those of more."""

MAX_TRAIN_IMAGES = 10_000
"""For the training accuracy in evaluation mode; evenly spread."""


@dataclass
class Measurement:
    """Measures the selected weights, on all examples of validation and test.

    Args:
        make_loader: batches of a split in its order, as a network sees them, not augmented.
        before_batch: called before each batch, for example to stop on a signal.
        metrics: what was found, named ``split/name``.
        flags: findings a reader must know.
    """

    config: ExperimentConfig
    run_dir: Path
    network: Network
    data: PreparedData
    make_loader: Callable[[ImageArrays], BatchLoader]
    autocast_dtype: torch.dtype | None
    before_batch: Callable[[], None]
    metrics: dict[str, float] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)

    def run(self, rows: list[dict[str, float]]) -> None:
        """Measure what ``evaluation.level`` asks for; ``rows`` are the epochs' metrics."""
        names = ("val",) if self.config.evaluation.level == "validation" else ("val", "test")
        splits = {name: self._measure_split(name) for name in names}
        self._measure_training(rows)
        write_predictions(self.run_dir, splits)
        self._write_classes(splits)
        if "test" not in splits:
            return
        self.metrics |= scaled_metrics(splits["val"], splits["test"])
        self.metrics["gap/acc"] = self.metrics["train_eval/acc"] - self.metrics["test/acc"]
        if is_constant(splits["test"]):
            self.flags.add("constant_predictor")
        self._keep_class_maps()
        if self.config.evaluation.level == "full":
            self._measure_fully()

    def _predict(self, arrays: ImageArrays) -> Predictions:
        return predict(
            self.network,
            self.make_loader(arrays),
            autocast_dtype=self.autocast_dtype,
            before_batch=self.before_batch,
        )

    def _measure_split(self, name: str) -> Predictions:
        predictions = self._predict(getattr(self.data, name))
        if not bool(predictions.logits.isfinite().all()):
            raise DivergedError(f"the network's outputs on {name} are not finite; lower optimizer.lr")
        self.metrics |= metrics(predictions, name)
        return predictions

    def _measure_training(self, rows: list[dict[str, float]]) -> None:
        """``train/*`` as it was trained, ``train_eval/*`` as it is tested, and how much of that is lost on test."""
        train = self.data.train
        chosen = train if len(train) <= MAX_TRAIN_IMAGES else take(train, evenly_spread(len(train), MAX_TRAIN_IMAGES))
        found = metrics(self._predict(chosen), "train_eval")
        self.metrics |= {name: found[name] for name in ("train_eval/loss", "train_eval/acc")}
        if rows:
            self.metrics |= {name: value for name, value in rows[-1].items() if name.startswith("train/")}
        target = self.config.evaluation.target_acc
        if target is not None:
            reached = [row["epoch"] for row in rows if row["val/acc"] >= target]
            if reached:
                self.metrics["val/epochs_to_target"] = reached[0]
            else:
                self.flags.add("target_not_reached")

    def _write_classes(self, splits: dict[str, Predictions]) -> None:
        """Keep, of each split, examples and accuracies of the classes, and the confusion matrix, a row a true class."""
        size = self.data.num_classes
        found: dict[str, dict[str, Any]] = {}
        for name, split in splits.items():
            matrix = None
            if size <= MOST_CLASSES:
                matrix = confusion(split.labels.numpy(), split.logits.argmax(1).numpy(), size).tolist()
            found[name] = {**class_accuracies(split, size), "confusion": matrix}
        write_json(self.run_dir / PER_CLASS_FILE, {"class_names": list(self.data.class_names), **found})

    def _keep_class_maps(self) -> None:
        size = self.config.evaluation.panel
        write_panel(self.run_dir, self.data, size)
        if write_class_maps(self.run_dir, self.network, self.make_loader(self.data.test), size):
            self.flags.add(DEAD_HEAD)
            log.warning("all class maps of the test images are zero; %s", remedy(self.config))

    def _measure_fully(self) -> None:
        positions = evenly_spread(len(self.data.test), self.config.evaluation.full_images)
        arrays = take(self.data.test, positions)
        content, found = measure_fully(self.network, self._predict, self.make_loader, arrays, positions)
        write_json(self.run_dir / EVALUATION_FILE, content)
        self.metrics |= found
