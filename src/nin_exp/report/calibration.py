"""How sure an arm's runs are, and how right they are to be: the calibration metrics over their seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nin_exp.report.arms import Cell
from nin_exp.report.collect import number
from nin_exp.stats.scores import ScoreSummary, summarise

CALIBRATION_METRICS = ("ece", "nll", "brier", "ece_scaled", "nll_scaled")


@dataclass(frozen=True)
class Calibration:
    """The calibration metrics of an arm in a block, by name without the split; only what its finished runs hold."""

    arm: str
    block: str
    split: str
    metrics: dict[str, ScoreSummary]


def summarise_calibration(cells: Iterable[Cell], split: str) -> tuple[Calibration, ...]:
    """Average each metric over the finished runs of a cell; a cell without any is left out."""
    found = (Calibration(cell.arm, cell.block, split, _metrics(cell, split)) for cell in cells)
    return tuple(one for one in found if one.metrics)


def _metrics(cell: Cell, split: str) -> dict[str, ScoreSummary]:
    of_runs = [run.record.metrics for run in cell.runs if run.state == "done" and run.record is not None]
    found: dict[str, ScoreSummary] = {}
    for name in CALIBRATION_METRICS:
        key = f"{split}/{name}"
        values = [value for one in of_runs if key in one and (value := number(one[key])) is not None]
        if values:
            found[name] = summarise(values)
    return found
