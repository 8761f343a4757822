"""Every seed's score, the runs of a pair joined by a line."""

from __future__ import annotations

from collections.abc import Sequence

from nin_exp.report.arms import Cell
from nin_exp.report.figures.figure import Figure, Trace, arm_colour, arm_symbol, axis, layout, numbers
from nin_exp.report.metric import Metric
from nin_exp.report.text import plain_text, plotly_text


def seeds_figure(cells: Sequence[Cell], arms: Sequence[str], block: str, index: int, metric: Metric) -> Figure | None:
    """Draw the scores of one block, an arm a column; None without any score.

    Args:
        cells: of this block.
        index: place of the block, for the figure's key.
    """
    shown = [cell for cell in cells if cell.scores]
    if not shown:
        return None
    columns = [cell.arm for cell in shown]
    data = [_pairs(shown, metric)] if len(shown) > 1 else []
    for column, cell in enumerate(shown):
        data += _column(column, cell, arms.index(cell.arm), metric)
    x = axis(
        "",
        tickmode="array",
        tickvals=list(range(len(columns))),
        ticktext=[plotly_text(name, 18) for name in columns],
        range=[-0.5, len(columns) - 0.5],
        ticklabeloverflow="allow",
        showgrid=False,
        fixedrange=True,
    )
    unit = f", {metric.unit}" if metric.unit else ""
    means = "; ".join(
        f"{plain_text(c.arm)}: mean {metric.score(c.summary.mean)}{metric.unit} over {c.summary.n} seeds"
        for c in shown
        if c.summary is not None
    )
    joined = " A line joins the runs of one seed." if len(shown) > 1 else ""
    return Figure(
        key=f"seeds-{index}",
        title=plain_text(block) or "All runs",
        caption=f"Bars are means.{joined}",
        description=f"{metric.label} of every seed. {means}.",
        data=data,
        layout=layout(x, axis(f"{metric.label}{unit}"), has_legend=False),
        height=320,
    )


def _pairs(cells: Sequence[Cell], metric: Metric) -> Trace:
    x: list[float | None] = []
    y: list[float | None] = []
    for seed in sorted({seed for cell in cells for seed in cell.scores}):
        points = [(i, cell.scores[seed] * metric.scale) for i, cell in enumerate(cells) if seed in cell.scores]
        x += [*(column for column, _ in points), None]
        y += [*(score for _, score in points), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": numbers(y),
        "hoverinfo": "skip",
        "line": {"width": 1, "color": "--grid-strong"},
    }


def _column(column: int, cell: Cell, arm: int, metric: Metric) -> list[Trace]:
    scores = sorted(cell.scores.items())
    mean = None if cell.summary is None else cell.summary.mean * metric.scale
    colour = arm_colour(arm)
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [column] * len(scores),
        "y": numbers(score * metric.scale for _, score in scores),
        "text": [f"seed {seed}: {metric.score(score)}{metric.unit}" for seed, score in scores],
        "hoverinfo": "text",
        "marker": {"size": 8, "symbol": arm_symbol(arm), "color": colour, "opacity": 0.85},
    }
    bar = {
        "type": "scatter",
        "mode": "lines",
        "x": [column - 0.2, column + 0.2],
        "y": numbers([mean, mean]),
        "hoverinfo": "skip",
        "line": {"width": 3, "color": colour},
    }
    return [dots, bar]
