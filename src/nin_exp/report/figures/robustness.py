"""Accuracy by how much the test images were changed, a line an arm."""

from __future__ import annotations

from collections.abc import Sequence

from nin_exp.report.evaluation import AveragedCurve, Robustness
from nin_exp.report.figures.figure import Figure, Trace, arm_colour, arm_dash, arm_symbol, axis, layout, numbers
from nin_exp.report.text import plain_text, plotly_text


def robustness_figure(
    measured: Sequence[Robustness], arms: Sequence[str], block: str, name: str, titles: tuple[str, str, str], key: str
) -> Figure | None:
    """Draw one measure of one block; None where no arm has it.

    Args:
        measured: of this block. name: of the curve, such as ``shift/acc``. key: of the figure.
        titles: of the figure and of its axes.
    """
    shown = [(found.arm, found.curves[name]) for found in measured if name in found.curves]
    if not shown:
        return None
    title, x_title, y_title = titles
    spoken = "; ".join(
        f"{plain_text(arm)} from {_percent(curve, 0)} at {curve.points[0][0]:g} to "
        f"{_percent(curve, -1)} at {curve.points[-1][0]:g}"
        for arm, curve in shown
    )
    place = f" on {plain_text(block)}" if block else ""
    return Figure(
        key=key,
        title=f"{title}{place}",
        caption="Whiskers are one standard deviation over the seeds.",
        description=f"{title}{place}, {x_title}: {spoken}.",
        data=[_line(curve, arm, arms.index(arm)) for arm, curve in shown],
        layout=layout(axis(x_title), axis(y_title), has_legend=True),
        height=320,
    )


def _percent(curve: AveragedCurve, place: int) -> str:
    return f"{100 * curve.points[place][1].mean:.1f} %"


def _line(curve: AveragedCurve, arm: str, place: int) -> Trace:
    deviations = [None if summary.sd is None else 100 * summary.sd for _, summary in curve.points]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plotly_text(arm, 24),
        "x": [x for x, _ in curve.points],
        "y": numbers(100 * summary.mean for _, summary in curve.points),
        "error_y": {"type": "data", "array": numbers(deviations), "color": arm_colour(place), "thickness": 1},
        "hovertemplate": "%{x:g}: %{y:.1f} %",
        "line": {"width": 2, "color": arm_colour(place), "dash": arm_dash(place)},
        "marker": {"size": 7, "symbol": arm_symbol(place), "color": arm_colour(place)},
    }
