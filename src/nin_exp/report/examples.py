"""The study by example: which test images each arm gets right, over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nin_exp.report.arms import Cell
from nin_exp.report.collect import Run
from nin_exp.report.contrasts import RNG_SEED, Contrast
from nin_exp.report.predictions import RunPredictions, read_predictions
from nin_exp.stats.mcnemar import McNemar, mcnemar
from nin_exp.stats.two_sources import TwoSources, correctness, two_sources

MOST_RUNS = 400
"""Runs whose predictions are read, in the order of the plan; more would make a report wait for the disk."""


@dataclass(frozen=True)
class CellExamples:
    """The predictions of an arm in a block; ``S`` runs that saw the same ``N`` examples in one order.

    Args:
        runs: the runs, one a row of the tables.
        labels: true classes ``(N,)``.
        predicted: classes ``(S, N)``. confidence: their probabilities ``(S, N)``. correct: 0 or 1, ``(S, N)``.
    """

    arm: str
    block: str
    runs: tuple[Run, ...]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int32]
    confidence: NDArray[np.float32]
    correct: NDArray[np.int8]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each row."""
        return tuple(run.job.seed for run in self.runs)

    @property
    def num_classes(self) -> int:
        """Number of classes that occur, as labels or answers."""
        return int(max(self.labels.max(), self.predicted.max())) + 1


@dataclass(frozen=True)
class ContrastExamples:
    """An arm against the baseline on the same examples.

    Args:
        seeds: of the pairs whose predictions could be read.
        sources: the doubt that seeds and examples add.
        tests: McNemar's test of each pair of networks, in the order of ``seeds``.
        arm_rows, baseline_rows: rows of the pairs in the cells' tables.
    """

    arm: CellExamples
    baseline: CellExamples
    seeds: tuple[int, ...]
    sources: TwoSources
    tests: tuple[McNemar, ...]
    arm_rows: tuple[int, ...]
    baseline_rows: tuple[int, ...]


@dataclass(frozen=True)
class StudyExamples:
    """Everything by example; ``num_left_out`` runs were not read because there are too many."""

    split: str
    cells: tuple[CellExamples, ...]
    contrasts: tuple[ContrastExamples, ...]
    num_left_out: int


def find_examples(cells: Sequence[Cell], contrasts: Iterable[Contrast], split: str, confidence: float) -> StudyExamples:
    """Read the predictions of the finished runs and compare the arms on each example.

    Args:
        confidence: of the intervals, in (0, 1).
    """
    budget, left_out, found = MOST_RUNS, 0, []
    labels: dict[str, NDArray[np.int64]] = {}
    for cell in cells:
        done = [run for run in cell.runs if run.state == "done"]
        left_out += max(0, len(done) - budget)
        read = [(run, read_predictions(run.run_dir, split)) for run in done[:budget]]
        budget -= len(read)
        examples = _cell(cell, [(run, p) for run, p in read if p is not None], labels)
        if examples is not None:
            found.append(examples)
    by_place = {(cell.arm, cell.block): cell for cell in found}
    compared = []
    for contrast in contrasts:
        arm, baseline = (by_place.get((name, contrast.block)) for name in (contrast.arm, contrast.baseline))
        if arm is not None and baseline is not None:
            pair = compare_examples(arm, baseline, confidence)
            compared += [] if pair is None else [pair]
    return StudyExamples(split, tuple(found), tuple(compared), left_out)


def _cell(
    cell: Cell, read: Sequence[tuple[Run, RunPredictions]], labels: dict[str, NDArray[np.int64]]
) -> CellExamples | None:
    """Stack the runs that saw the block's examples: the labels of its first run are those of all."""
    if read:
        labels.setdefault(cell.block, read[0][1].labels)
    kept = [(run, p) for run, p in read if np.array_equal(p.labels, labels[cell.block])]
    if not kept:
        return None
    predicted = np.stack([p.predicted for _, p in kept])
    true = labels[cell.block]
    return CellExamples(
        arm=cell.arm,
        block=cell.block,
        runs=tuple(run for run, _ in kept),
        labels=true,
        predicted=predicted,
        confidence=np.stack([p.confidence for _, p in kept]),
        correct=correctness(predicted, true),
    )


def compare_examples(arm: CellExamples, baseline: CellExamples, confidence: float) -> ContrastExamples | None:
    """Compare two arms seed by seed on the examples; None without a seed that both have."""
    first = {seed: row for row, seed in enumerate(arm.seeds)}
    second = {seed: row for row, seed in enumerate(baseline.seeds)}
    seeds = tuple(sorted(first.keys() & second.keys()))
    if not seeds:
        return None
    rows, other = tuple(first[seed] for seed in seeds), tuple(second[seed] for seed in seeds)
    a, b = arm.correct[list(rows)], baseline.correct[list(other)]
    return ContrastExamples(
        arm=arm,
        baseline=baseline,
        seeds=seeds,
        sources=two_sources(a - b, confidence, np.random.default_rng(RNG_SEED)),
        tests=tuple(mcnemar(x, y) for x, y in zip(a, b, strict=True)),
        arm_rows=rows,
        baseline_rows=other,
    )
