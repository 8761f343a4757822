"""What each arm costs: parameters, operations, time, memory."""

from __future__ import annotations

from collections.abc import Callable

from nin_exp.report.analysis import Analysis
from nin_exp.report.arms import Cell
from nin_exp.report.figures.figure import Figure
from nin_exp.report.figures.tradeoff import tradeoff_figure
from nin_exp.report.metric import count, duration, memory
from nin_exp.report.section import MOST_BLOCKS, Column, Section, Table, TableCell
from nin_exp.stats.scores import ScoreSummary

LOWEST = float("-inf")


def section(analysis: Analysis) -> Section | None:
    """The table of costs and the pictures of score against parameters; None while no run is done."""
    cells = [cell for cell in analysis.cells if cell.states.get("done")]
    if not cells:
        return None
    columns = (
        Column("arm" if analysis.comparison else "runs", is_number=False),
        Column("block" if analysis.comparison else "data set", is_number=False),
        Column("parameters"),
        Column("in the head", hint="share of the parameters that stand in the head"),
        Column("MACs", hint="multiply-accumulate operations for one image"),
        Column("images / s", hint="training, with loading and augmentation, without evaluation and the first 10 steps"),
        Column("time a run", hint="mean wall-clock time"),
        Column("peak memory", hint="the largest of the runs"),
    )
    table = Table("Means over the finished runs", columns, tuple(_row(cell) for cell in cells))
    figures: tuple[Figure, ...] = ()
    metric = analysis.metric
    if metric is not None:
        found = (
            tradeoff_figure(analysis.cells_of(block), analysis.arms, block, f"tradeoff-{i}", metric)
            for i, block in enumerate(analysis.blocks[:MOST_BLOCKS])
        )
        figures = tuple(figure for figure in found if figure is not None)
    label = "" if metric is None else metric.label
    return Section(
        "costs", "Parameters, speed and memory", {"table": table, "figures": figures, "label": label}, figures
    )


def _row(cell: Cell) -> tuple[TableCell, ...]:
    cost = cell.cost
    share = cost.head_share
    peak = cost.peak_memory_bytes
    return (
        TableCell(cell.arm),
        TableCell(cell.block),
        _extent(cost.params_total),
        TableCell("–" if share is None else f"{100 * share:.1f} %", sort=LOWEST if share is None else share),
        _extent(cost.macs),
        _mean(cost.images_per_second, lambda value: count(value)),
        _mean(cost.wall_seconds, duration),
        TableCell(memory(peak), sort=LOWEST if peak is None else peak),
    )


def _extent(extent: tuple[int, int] | None) -> TableCell:
    if extent is None:
        return TableCell("–", sort=LOWEST)
    low, high = extent
    return TableCell(count(high) if low == high else f"{count(low)} to {count(high)}", sort=high)


def _mean(summary: ScoreSummary | None, write: Callable[[float], str]) -> TableCell:
    return TableCell("–", sort=LOWEST) if summary is None else TableCell(write(summary.mean), sort=summary.mean)
