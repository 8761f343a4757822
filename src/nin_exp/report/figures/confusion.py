"""Where two arms answer differently: the difference of their confusion matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nin_exp.report.figures.figure import Figure, Trace, axis, layout
from nin_exp.report.text import plain_text, plotly_text

MOST_NAMED = 25
"""Classes whose names still fit beside the table."""


def confusion_figure(
    table: NDArray[np.float64], names: list[str], arm: str, baseline: str, block: str, key: str
) -> Figure:
    """Draw the table as a heat map, in points of the true class.

    Args:
        table: arm - baseline, shares of the true class (rows), shape ``(K, K)``; NaN where a class has no examples.
    """
    shown = np.where(np.isnan(table), 0.0, 100 * table)
    reach = max(0.1, float(np.abs(shown).max()))
    labels = [plotly_text(name, 14) for name in names]
    heat: Trace = {
        "type": "heatmap",
        "z": [[round(float(value), 2) for value in row] for row in shown],
        "zmin": -reach,
        "zmax": reach,
        "colorscale": [[0, "--arm-2"], [0.5, "--surface"], [1, "--arm-1"]],
        "colorbar": {"thickness": 10, "outlinewidth": 0, "title": {"text": "points", "side": "right"}},
        "hovertemplate": "true %{y}, answered %{x}: %{z:+.2f} points<extra></extra>",
    }
    ticks = {"tickmode": "array", "tickvals": list(range(len(labels))), "ticktext": labels, "showgrid": False}
    if len(labels) > MOST_NAMED:
        ticks = {"showgrid": False, "nticks": 10}
    y = axis("true class", **ticks, autorange="reversed")
    place = f" on {plain_text(block)}" if block else ""
    return Figure(
        key=key,
        title=f"{plain_text(arm)} – {plain_text(baseline)}{place}",
        caption="Blue: the arm gives this answer more often than the baseline; orange: less often.",
        description=f"Difference of confusion matrices{place}. {_largest(shown, names)}",
        data=[heat],
        layout=layout(axis("answer", **ticks), y, has_legend=False),
        height=380,
    )


def _largest(table: NDArray[np.float64], names: list[str]) -> str:
    off = table.copy()
    np.fill_diagonal(off, 0)
    true, said = np.unravel_index(int(np.abs(off).argmax()), off.shape)
    change = float(off[true, said])
    if change == 0:
        return "No class is taken for another more often by one of the arms."
    often = "more" if change > 0 else "less"
    return (
        f"The largest change: {plain_text(names[true])} is answered {plain_text(names[said])} "
        f"{abs(change):.1f} points {often} often."
    )
