"""Arms by blocks: the mean score of each, its spread, and which is best."""

from __future__ import annotations

from nin_exp.report.analysis import Analysis
from nin_exp.report.arms import Cell
from nin_exp.report.metric import Metric
from nin_exp.report.ranking import Best
from nin_exp.report.section import Column, Section, Table, TableCell


def section(analysis: Analysis) -> Section | None:
    """The table of means; None while no run has a score."""
    metric = analysis.metric
    if metric is None or not any(cell.summary is not None for cell in analysis.cells):
        return None
    comparison = analysis.comparison
    unit = f", {metric.unit}" if metric.unit else ""
    columns = [Column("arm" if comparison else "runs", is_number=False)]
    columns += [Column(block or metric.label) for block in analysis.blocks]
    rows = []
    best = {(b.arm, b.block): b for b in analysis.best}
    for arm in analysis.arms:
        is_baseline = comparison is not None and arm == comparison.baseline
        header = TableCell(arm, note="baseline" if is_baseline else "")
        rows.append(
            (header, *(_cell(analysis.cell(arm, block), metric, best.get((arm, block))) for block in analysis.blocks))
        )
    several = any(cell.summary is not None and cell.summary.n > 1 for cell in analysis.cells)
    notes = ["mean ± standard deviation over seeds" if several else "one run each, so no ±"]
    if analysis.best:
        notes.append("Bold: best, and the verdicts support it. “highest”: only the largest mean.")
    title = f"{metric.label[:1].upper()}{metric.label[1:]}"
    table = Table(f"{title}{unit}", tuple(columns), tuple(rows), tuple(notes))
    heading = f"{title} of every arm" if comparison else title
    return Section("accuracy", heading, {"table": table})


def _cell(cell: Cell | None, metric: Metric, best: Best | None) -> TableCell:
    if cell is None or cell.summary is None:
        return TableCell("–", sort=float("-inf"), note=_number(cell))
    summary = cell.summary
    spread = "" if summary.sd is None else f" ± {metric.spread(summary.sd)}"
    highest = " · highest" if best is not None and not best.is_supported else ""
    return TableCell(
        f"{metric.score(summary.mean)}{spread}",
        sort=summary.mean,
        is_strong=best is not None and best.is_supported,
        note=f"{_number(cell)}{highest}",
    )


def _number(cell: Cell | None) -> str:
    if cell is None:
        return ""
    planned, scored = len(cell.runs), len(cell.scores)
    return f"n = {scored}" if scored == planned else f"n = {scored} of {planned}"
