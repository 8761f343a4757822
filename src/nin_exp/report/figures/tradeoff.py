"""Score against parameters: a head that wins may only be the larger one.

The Pareto front joins the arms that no other one beats with as few parameters.
"""

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
    best = pareto_front(shown)
    data = [_front(best, metric), *(_point(cell, arms.index(cell.arm), metric) for cell in shown)]
    unit = f", {metric.unit}" if metric.unit else ""
    spoken = "; ".join(
        f"{plain_text(c.arm)}: {count(c.cost.params_total[1])} parameters, {metric.score(c.summary.mean)}{metric.unit}"
        for c in shown
        if c.cost.params_total is not None and c.summary is not None
    )
    front = f"Pareto front{' (dotted)' if len(best) > 1 else ''}: {', '.join(plain_text(cell.arm) for cell in best)}"
    return Figure(
        key=key,
        title=plain_text(block) or "All runs",
        caption=(
            "Whiskers: one standard deviation over the seeds. "
            f"{front}; no arm with as few parameters has a higher mean."
        ),
        description=f"Mean {metric.label} against the number of parameters. {spoken}. {front}.",
        data=data,
        layout=layout(
            axis("parameters", tickformat=".3~s", nticks=6, rangemode="normal"),
            axis(f"{metric.label}{unit}"),
            has_legend=True,
        ),
        height=320,
    )


def pareto_front(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that no other one beats in mean score with as few parameters or fewer; fewest parameters first.

    Args:
        cells: with a score and a number of parameters each.
    """
    found: list[Cell] = []
    highest = float("-inf")
    for _, score, cell in sorted(map(_place, cells), key=lambda one: (one[0], -one[1])):
        if score > highest:
            found.append(cell)
            highest = score
    return found


def _place(cell: Cell) -> tuple[int, float, Cell]:
    assert cell.cost.params_total is not None
    assert cell.summary is not None
    return cell.cost.params_total[1], cell.summary.mean, cell


def _front(best: Sequence[Cell], metric: Metric) -> Trace:
    points = [(params, score) for params, score, _ in map(_place, best)]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "showlegend": False,
        "x": [params for params, _ in points],
        "y": numbers(score * metric.scale for _, score in points),
        "hoverinfo": "skip",
        "line": {"width": 1.5, "color": "--axis", "dash": "dot", "shape": "hv"},
    }


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
