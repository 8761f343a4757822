"""Score against parameters: a head that wins may only be the larger one."""

from __future__ import annotations

from collections.abc import Sequence

from nin_exp.report.arms import Cell
from nin_exp.report.figures.figure import Figure, Trace, arm_colour, arm_symbol, axis, layout, numbers
from nin_exp.report.metric import Metric, count
from nin_exp.report.text import plain_text, plotly_text


def tradeoff_figure(cells: Sequence[Cell], arms: Sequence[str], block: str, key: str, metric: Metric) -> Figure | None:
    """Draw a block's arms by parameters and mean score; None unless they differ in parameters.

    Args:
        cells: of this block. key: of the figure.
    """
    shown = [cell for cell in cells if cell.summary is not None and cell.cost.params_total is not None]
    if len({cell.cost.params_total for cell in shown}) < 2:
        return None
    data = [_point(cell, arms.index(cell.arm), metric) for cell in shown]
    unit = f", {metric.unit}" if metric.unit else ""
    spoken = "; ".join(
        f"{plain_text(c.arm)}: {count(c.cost.params_total[1])} parameters, {metric.score(c.summary.mean)}{metric.unit}"
        for c in shown
        if c.cost.params_total is not None and c.summary is not None
    )
    return Figure(
        key=key,
        title=plain_text(block) or "All runs",
        caption="Whiskers are one standard deviation over the seeds.",
        description=f"Mean {metric.label} against the number of parameters. {spoken}.",
        data=data,
        layout=layout(
            axis("parameters", tickformat=".3~s", nticks=6, rangemode="normal"),
            axis(f"{metric.label}{unit}"),
            has_legend=True,
        ),
        height=320,
    )


def _point(cell: Cell, place: int, metric: Metric) -> Trace:
    mean = None if cell.summary is None else cell.summary.mean * metric.scale
    sd = None if cell.summary is None or cell.summary.sd is None else cell.summary.sd * metric.scale
    params = None if cell.cost.params_total is None else cell.cost.params_total[1]
    score = None if cell.summary is None else cell.summary.mean
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plotly_text(cell.arm, 24),
        "x": [params],
        "y": numbers([mean]),
        "error_y": {"type": "data", "array": numbers([sd]), "visible": sd is not None, "color": arm_colour(place)},
        "text": [f"{plotly_text(cell.arm, 24)}: {count(params)} parameters, {metric.score(score)}{metric.unit}"],
        "hoverinfo": "text",
        "marker": {"size": 11, "symbol": arm_symbol(place), "color": arm_colour(place)},
    }
