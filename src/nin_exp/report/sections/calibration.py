"""How sure the arms are, and how right they are to be: reliability diagrams and the calibration metrics."""

from __future__ import annotations

import math

from nin_exp.report.analysis import Analysis
from nin_exp.report.calibration import CALIBRATION_METRICS, Calibration
from nin_exp.report.figures.reliability import reliability_figure
from nin_exp.report.metric import Metric
from nin_exp.report.section import Column, Section, Table, TableCell
from nin_exp.stats.scores import ScoreSummary

MOST_BLOCKS = 12
LOWEST = float("-inf")
COLUMNS = {
    "ece": ("ECE", "expected calibration error: mean gap between confidence and accuracy over 15 bins"),
    "nll": ("NLL", "negative log-likelihood, nats"),
    "brier": ("Brier", "sum of squared errors of the probabilities"),
    "ece_scaled": ("ECE, scaled", "after dividing the logits by a temperature fitted on validation"),
    "nll_scaled": ("NLL, scaled", "after the same division"),
}


def section(analysis: Analysis) -> Section | None:
    """A diagram a block and the table; None where no predictions were kept."""
    examples = analysis.by_example
    found = (
        reliability_figure([c for c in examples.cells if c.block == block], analysis.arms, block, f"reliability-{i}")
        for i, block in enumerate(analysis.blocks[:MOST_BLOCKS])
    )
    figures = tuple(figure for figure in found if figure is not None)
    if not figures:
        return None
    return Section("calibration", "Calibration", {"figures": figures, "table": _table(analysis)}, figures)


def _table(analysis: Analysis) -> Table | None:
    found = analysis.calibration
    names = [name for name in CALIBRATION_METRICS if any(name in one.metrics for one in found)]
    if not names:
        return None
    columns = (
        Column("arm" if analysis.comparison else "runs", is_number=False),
        Column("block" if analysis.comparison else "data set", is_number=False),
        *(Column(COLUMNS[name][0], hint=COLUMNS[name][1]) for name in names),
    )
    rows = tuple((TableCell(one.arm), TableCell(one.block), *(_cell(one, name) for name in names)) for one in found)
    return Table("Lower is better; mean ± standard deviation over seeds", columns, rows)


def _cell(calibration: Calibration, name: str) -> TableCell:
    summary = calibration.metrics.get(name)
    if summary is None:
        return TableCell("–", sort=LOWEST)
    return TableCell(_with_spread(Metric(f"{calibration.split}/{name}"), summary), sort=summary.mean)


def _with_spread(metric: Metric, summary: ScoreSummary) -> str:
    """Mean and deviation with the same decimals: two digits of the deviation."""
    if not summary.sd:
        return metric.score(summary.mean) + ("" if summary.sd is None else " ± 0")
    decimals = max(0, 1 - math.floor(math.log10(summary.sd)))
    return f"{summary.mean:.{decimals}f} ± {summary.sd:.{decimals}f}"
