"""An arm against the baseline class by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nin_exp.report.collect import Run
from nin_exp.report.examples import CellExamples, ContrastExamples
from nin_exp.stats.confusion import confusion, rates
from nin_exp.stats.intervals import Interval, standard_deviation, t_interval


@dataclass(frozen=True)
class ClassDifference:
    """One class: the share of its examples that each arm gets right, mean over the paired seeds.

    Args:
        interval: t interval of the paired difference, alone; None for one seed or a class without examples.
    """

    name: str
    num_examples: int
    arm: float
    baseline: float
    interval: Interval | None

    @property
    def difference(self) -> float:
        """Arm - baseline."""
        return self.arm - self.baseline


def class_names(runs: tuple[Run, ...], num_classes: int) -> list[str]:
    """Names of the classes as the first record that has enough of them says; else their numbers."""
    for run in runs:
        names = None if run.record is None else run.record.data.get("class_names")
        if isinstance(names, list) and len(names) >= num_classes:
            return [str(name) for name in names]
    return [str(number) for number in range(num_classes)]


def class_differences(contrast: ContrastExamples, confidence: float) -> list[ClassDifference]:
    """Compare class by class, classes without examples left out."""
    labels = contrast.arm.labels
    names = class_names(contrast.arm.runs, int(labels.max()) + 1)
    arm = contrast.arm.correct[list(contrast.arm_rows)]
    baseline = contrast.baseline.correct[list(contrast.baseline_rows)]
    found = []
    for number in np.unique(labels).tolist():
        chosen = labels == number
        first, second = arm[:, chosen].mean(axis=1), baseline[:, chosen].mean(axis=1)
        sd = standard_deviation(first - second, scale=1.0)
        mean = float((first - second).mean())
        interval = None if sd is None else t_interval(mean, sd, len(first), confidence)
        share = float(first.mean()), float(second.mean())
        found.append(ClassDifference(names[number], int(chosen.sum()), *share, interval))
    return found


def confusion_difference(contrast: ContrastExamples, num_classes: int) -> NDArray[np.float64]:
    """Share of each true class (rows) given each answer (columns), arm - baseline; NaN rows without examples.

    Args:
        num_classes: size of the table, at least the number of classes that occur.
    """
    shares = []
    for cell, rows in ((contrast.arm, contrast.arm_rows), (contrast.baseline, contrast.baseline_rows)):
        shares.append(rates(_counts(cell, rows, num_classes)))
    difference: NDArray[np.float64] = shares[0] - shares[1]
    return difference


def _counts(cell: CellExamples, rows: tuple[int, ...], num_classes: int) -> NDArray[np.int64]:
    return confusion(np.tile(cell.labels, len(rows)), cell.predicted[list(rows)].ravel(), num_classes)
