"""Three intervals a contrast: over new seeds, over new examples, over both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nin_exp.report.examples import ContrastExamples
from nin_exp.report.figures.figure import Figure, Trace, axis, layout, numbers
from nin_exp.report.metric import Metric
from nin_exp.report.text import plain_text, plotly_text
from nin_exp.stats.intervals import Interval

MOST_ROWS = 16
ROW_HEIGHT = 88
KINDS = (
    ("seeds", "new seeds", "--arm-1", "solid", 0.2),
    ("examples", "new test examples", "--arm-2", "dash", 0.0),
    ("both", "both", "--ink", "solid", -0.2),
)


def two_sources_figure(contrasts: Sequence[ContrastExamples], metric: Metric, confidence: str) -> Figure:
    """Draw the first ``MOST_ROWS`` contrasts, three intervals each."""
    shown = contrasts[:MOST_ROWS]
    data = [_bars(shown, name, words, colour, dash, lift, metric) for name, words, colour, dash, lift in KINDS]
    data.append(_means(shown, metric))
    x = axis(
        f"difference in {metric.label}, points", zeroline=True, zerolinecolor="--axis", range=_extent(shown, metric)
    )
    y = axis("", range=[-len(shown) + 0.55, 0.6], showticklabels=False, showgrid=False, showline=False)
    notes: list[dict[str, Any]] = [
        {
            "xref": "paper",
            "x": 0,
            "xanchor": "left",
            "y": -row,
            "yshift": 32,
            "showarrow": False,
            "text": _name(contrast),
        }
        for row, contrast in enumerate(shown)
    ]
    left_out = len(contrasts) - len(shown)
    return Figure(
        key="two-sources",
        title="What seeds and test examples add",
        caption=f"{confidence} intervals.{f' {left_out} more contrasts stand in the table.' if left_out else ''}",
        description="; ".join(_spoken(contrast, metric) for contrast in shown) + ".",
        data=data,
        layout=layout(x, {**y, "fixedrange": True}, has_legend=True, annotations=notes),
        height=86 + ROW_HEIGHT * len(shown),
    )


def _extent(shown: Sequence[ContrastExamples], metric: Metric) -> list[float]:
    """Range of the axis: every interval and zero, with a margin."""
    found = (getattr(contrast.sources, name) for contrast in shown for name, *_ in KINDS)
    ends = [0.0, *(end for interval in found if interval is not None for end in (interval.low, interval.high))]
    low, high = min(ends) * metric.scale, max(ends) * metric.scale
    margin = 0.04 * (high - low) or 1.0
    return [low - margin, high + margin]


def _name(contrast: ContrastExamples) -> str:
    block = f"{plotly_text(contrast.arm.block, 26)}: " if contrast.arm.block else ""
    return f"{block}<b>{plotly_text(contrast.arm.arm, 22)}</b>"


def _spoken(contrast: ContrastExamples, metric: Metric) -> str:
    parts = []
    for name, words, *_ in KINDS:
        interval: Interval | None = getattr(contrast.sources, name)
        if interval is not None:
            parts.append(f"over {words} {metric.difference(interval.low)} to {metric.difference(interval.high)}")
    return f"{plain_text(contrast.arm.arm)} on {plain_text(contrast.arm.block)}: {', '.join(parts)}"


def _bars(
    shown: Sequence[ContrastExamples], name: str, words: str, colour: str, dash: str, lift: float, metric: Metric
) -> Trace:
    x: list[float | None] = []
    y: list[float | None] = []
    for row, contrast in enumerate(shown):
        interval: Interval | None = getattr(contrast.sources, name)
        if interval is not None:
            x += [interval.low * metric.scale, interval.high * metric.scale, None]
            y += [lift - row, lift - row, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": words,
        "x": numbers(x),
        "y": y,
        "hoverinfo": "name",
        "line": {"width": 4, "color": colour, "dash": dash},
    }


def _means(shown: Sequence[ContrastExamples], metric: Metric) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "x": numbers(contrast.sources.mean * metric.scale for contrast in shown),
        "y": [-row for row in range(len(shown))],
        "hoverinfo": "skip",
        "marker": {"size": 10, "symbol": "diamond", "color": "--ink", "line": {"width": 1.5, "color": "--surface"}},
    }
