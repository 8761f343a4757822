"""Class by class: what each arm gets right, and what it takes for what."""

from __future__ import annotations

from nin_exp.report.analysis import Analysis
from nin_exp.report.classes import ClassDifference, class_differences, class_names, confusion_difference
from nin_exp.report.examples import ContrastExamples
from nin_exp.report.figures.confusion import confusion_figure
from nin_exp.report.metric import Metric, percent
from nin_exp.report.section import Column, Section, Table, TableCell
from nin_exp.report.sections.across import interval_cell

MOST_CONTRASTS = 8
MOST_CLASSES = 100
"""Beyond this neither a heat map nor a table can be read."""

MOST_ROWS = 20
"""Classes in a table: those that differ most."""


def section(analysis: Analysis) -> Section | None:
    """A heat map and a table a contrast; None without a comparison whose predictions were kept."""
    comparison = analysis.comparison
    contrasts = analysis.by_example.contrasts
    if comparison is None or not contrasts:
        return None
    parts, figures = [], []
    metric = Metric(f"{analysis.by_example.split}/acc")
    for number, contrast in enumerate(contrasts[:MOST_CONTRASTS]):
        num_classes = max(contrast.arm.num_classes, contrast.baseline.num_classes)
        if num_classes > MOST_CLASSES:
            continue
        figure = confusion_figure(
            confusion_difference(contrast, num_classes),
            class_names(contrast.arm.runs, num_classes)[:num_classes],
            contrast.arm.arm,
            contrast.baseline.arm,
            contrast.arm.block,
            f"confusion-{number}",
        )
        figures.append(figure)
        parts.append({"figure": figure, "table": _table(contrast, metric, comparison.alpha), "key": f"class-{number}"})
    if not parts:
        return None
    left_out = len(contrasts) - len(parts)
    return Section("classes", "Class by class", {"parts": parts, "left_out": left_out}, tuple(figures))


def _table(contrast: ContrastExamples, metric: Metric, alpha: float) -> Table:
    found = class_differences(contrast, 1 - alpha)
    chosen = sorted(found, key=lambda c: -abs(c.difference))[:MOST_ROWS]
    columns = (
        Column("class", is_number=False),
        Column("examples"),
        Column(f"{contrast.baseline.arm}, %"),
        Column(f"{contrast.arm.arm}, %"),
        Column("difference"),
        Column(f"{percent(1 - alpha)} interval"),
    )
    number = f"{len(chosen)} of {len(found)} classes" if len(chosen) < len(found) else "all classes"
    place = f" on {contrast.arm.block}" if contrast.arm.block else ""
    notes = ("Each interval stands alone: with many classes some miss zero by chance.",)
    rows = tuple(_row(difference, metric) for difference in chosen)
    return Table(f"{contrast.arm.arm} against {contrast.baseline.arm}{place}, {number}", columns, rows, notes)


def _row(found: ClassDifference, metric: Metric) -> tuple[TableCell, ...]:
    return (
        TableCell(found.name),
        TableCell(str(found.num_examples), sort=found.num_examples),
        TableCell(metric.score(found.baseline), sort=found.baseline),
        TableCell(metric.score(found.arm), sort=found.arm),
        TableCell(metric.difference(found.difference, plus=True), sort=found.difference),
        interval_cell(found.interval, metric, 2),
    )
