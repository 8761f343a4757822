"""Reliability diagrams: accuracy by confidence, the examples of all seeds together."""

from __future__ import annotations

from collections.abc import Sequence

from nin_exp.report.examples import CellExamples
from nin_exp.report.figures.figure import Figure, Trace, arm_colour, arm_dash, arm_symbol, axis, layout, numbers
from nin_exp.report.text import plain_text, plotly_text
from nin_exp.stats.calibration import NUM_BINS, Reliability, reliability

FEWEST = 10
"""Examples a bin needs to be drawn; what fewer say is noise."""


def reliability_figure(cells: Sequence[CellExamples], arms: Sequence[str], block: str, key: str) -> Figure | None:
    """Draw one block, a line an arm; None without predictions.

    Args:
        cells: of this block. key: of the figure.
    """
    if not cells:
        return None
    diagonal: Trace = {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 100],
        "y": [0, 100],
        "showlegend": False,
        "hoverinfo": "skip",
        "line": {"width": 1, "color": "--axis", "dash": "dot"},
    }
    data, spoken = [diagonal], []
    for cell in cells:
        bins = reliability(cell.confidence.ravel(), cell.correct.ravel(), NUM_BINS)
        data.append(_line(bins, cell.arm, arms.index(cell.arm)))
        gap = float(cell.confidence.mean()) - float(cell.correct.mean())
        lean = "more sure than right" if gap > 0 else "less sure than right"
        spoken.append(f"{plain_text(cell.arm)} is {100 * abs(gap):.1f} points {lean} on average")
    return Figure(
        key=key,
        title=plain_text(block) or "All runs",
        caption="Below the diagonal an arm is surer than it is right. Examples of all seeds together.",
        description=f"Accuracy by confidence. {'; '.join(spoken)}.",
        data=data,
        layout=layout(axis("confidence, %", range=[0, 102]), axis("accuracy, %", range=[0, 102]), has_legend=True),
        height=320,
    )


def _line(bins: Reliability, arm: str, place: int) -> Trace:
    kept = bins.counts >= FEWEST if (bins.counts >= FEWEST).any() else bins.counts > 0
    accuracy, counts = 100 * bins.accuracy[kept], bins.counts[kept]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plotly_text(arm, 24),
        "x": numbers(100 * bins.confidence[kept]),
        "y": numbers(accuracy),
        "text": [f"{a:.1f} % of {n} examples" for a, n in zip(accuracy, counts, strict=True)],
        "hovertemplate": "confidence %{x:.1f} %: %{text}",
        "line": {"width": 2, "color": arm_colour(place), "dash": arm_dash(place)},
        "marker": {"size": 7, "symbol": arm_symbol(place), "color": arm_colour(place)},
    }
