"""The picture of the verdict: paired differences with their intervals and the region of equivalence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nin_exp.records.study import Comparison
from nin_exp.report.contrasts import Contrast
from nin_exp.report.figures.figure import Figure, Trace, axis, layout, numbers
from nin_exp.report.metric import Metric, percent
from nin_exp.report.sentences import outcome_sentence
from nin_exp.report.text import plain_text, plotly_text
from nin_exp.stats.intervals import Interval

ROW_HEIGHT = 64
MOST_ROWS = 60
INTERVAL_REACH = 3.0
"""An interval of two or three pairs can be a hundred times as wide as the differences: beyond this many times
the largest difference it is cut."""


def differences_figure(contrasts: Sequence[Contrast], comparison: Comparison) -> Figure | None:
    """Draw one row a contrast; None when there is nothing to draw."""
    drawable = [contrast for contrast in contrasts if contrast.outcome.effect is not None]
    shown = drawable[:MOST_ROWS]
    if not shown:
        return None
    metric = Metric(comparison.metric)
    extent, is_cut = _extent(shown, comparison, metric)
    data, legend = _marks(shown, metric, percent(1 - comparison.alpha))
    unit = "points" if metric.is_accuracy else metric.key
    x = axis(f"difference in {metric.label}, {unit}", range=extent, zeroline=True, zerolinecolor="--axis")
    y = axis("", range=[-len(shown) + 0.35, 0.85], showticklabels=False, showgrid=False, showline=False)
    annotations = [note for row, contrast in enumerate(shown) for note in _labels(row, contrast)]
    figure_layout = layout(x, {**y, "fixedrange": True}, has_legend=False, annotations=annotations)
    figure_layout["shapes"] = [_rope(comparison, metric)]
    left_out = f" {len(drawable) - len(shown)} more stand in the table." if len(drawable) > len(shown) else ""
    cut = " Intervals that reach beyond the picture are cut." if is_cut else ""
    return Figure(
        key="differences",
        title="Paired differences",
        caption=(
            f"Right of zero an arm is better than {plain_text(comparison.baseline)}, left of it worse. "
            f"The verdict asks where the interval lies against the shaded band.{cut}{left_out}"
        ),
        description=" ".join(outcome_sentence(contrast, comparison).text for contrast in shown),
        data=data,
        layout=figure_layout,
        height=66 + ROW_HEIGHT * len(shown),
        legend=(*legend, ("band", f"no difference in practice, ±{metric.threshold(comparison.rope)}")),
    )


def _marks(shown: Sequence[Contrast], metric: Metric, confidence: str) -> tuple[list[Trace], list[tuple[str, str]]]:
    """Traces of seeds, intervals and means, and what their marks mean."""
    effects = [contrast.outcome.effect for contrast in shown]
    plain = [None if effect is None else effect.interval for effect in effects]
    widened = [None if effect is None else effect.widened for effect in effects]
    data, legend = [_seeds(shown, metric)], [("diamond", "mean"), ("dot", "one seed")]
    has_interval = any(interval is not None for interval in plain)
    is_widened = has_interval and any(effect is not None and effect.n_contrasts > 1 for effect in effects)
    if is_widened:
        data.append(_bars(widened, metric, width=2))
        legend.append(("thin", f"{confidence} interval, all contrasts together (makes the verdict)"))
    if has_interval:
        data.append(_bars(plain, metric, width=7))
        legend.append(("thick", f"{confidence} interval{' of one alone' if is_widened else ''}"))
    return [*data, _means(shown, metric)], legend


def _extent(contrasts: Sequence[Contrast], comparison: Comparison, metric: Metric) -> tuple[list[float], bool]:
    """Range of the axis, and whether an interval is cut by it; zero and the region always lie inside."""
    points = [a - b for c in contrasts for a, b in _scores(c)]
    intervals = [c.outcome.effect.widened for c in contrasts if c.outcome.effect and c.outcome.effect.widened]
    ends = [end for interval in intervals for end in (interval.low, interval.high)]
    edge = max(1.5 * comparison.rope, 1e-9)
    reach = INTERVAL_REACH * max([edge, *map(abs, points)])
    low = min([-edge, *points, *(max(end, -reach) for end in ends)])
    high = max([edge, *points, *(min(end, reach) for end in ends)])
    margin = 0.05 * (high - low)
    is_cut = any(abs(end) > reach for end in ends)
    return [(low - margin) * metric.scale, (high + margin) * metric.scale], is_cut


def _scores(contrast: Contrast) -> list[tuple[float, float]]:
    return [(p.arm, p.baseline) for p in contrast.complete if p.arm is not None and p.baseline is not None]


def _seeds(contrasts: Sequence[Contrast], metric: Metric) -> Trace:
    x, y, text = [], [], []
    for row, contrast in enumerate(contrasts):
        for pair, (arm, baseline) in zip(contrast.complete, _scores(contrast), strict=True):
            x.append((arm - baseline) * metric.scale)
            y.append(-row - 0.24)
            text.append(f"seed {pair.seed}: {metric.difference(arm - baseline, 2, plus=True)}")
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(x),
        "y": y,
        "text": text,
        "hoverinfo": "text",
        "marker": {"size": 7, "color": "--muted", "opacity": 0.55},
    }


def _bars(intervals: Sequence[Interval | None], metric: Metric, *, width: int) -> Trace:
    x: list[float | None] = []
    y: list[float | None] = []
    for row, interval in enumerate(intervals):
        if interval is not None:
            x += [interval.low * metric.scale, interval.high * metric.scale, None]
            y += [-row, -row, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": numbers(x),
        "y": y,
        "hoverinfo": "skip",
        "line": {"width": width, "color": "--interval" if width > 2 else "--ink"},
    }


def _means(contrasts: Sequence[Contrast], metric: Metric) -> Trace:
    effects = [contrast.outcome.effect for contrast in contrasts]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(None if e is None else e.mean * metric.scale for e in effects),
        "y": [-row for row in range(len(contrasts))],
        "text": [f"mean {metric.difference(None if e is None else e.mean, 2, plus=True)}" for e in effects],
        "hoverinfo": "text",
        "marker": {
            "size": 13,
            "symbol": "diamond",
            "color": [f"--{contrast.outcome.verdict.label}" for contrast in contrasts],
            "line": {"width": 1.5, "color": "--surface"},
        },
    }


def _labels(row: int, contrast: Contrast) -> list[dict[str, Any]]:
    place = {"xref": "paper", "y": -row, "yshift": 21, "showarrow": False}
    label = contrast.outcome.verdict.label
    block = f"{plotly_text(contrast.block, 26)}: " if contrast.block else ""
    name = f"{block}<b>{plotly_text(contrast.arm, 22)}</b>"
    return [
        {**place, "x": 0, "xanchor": "left", "text": name},
        {
            **place,
            "x": 1,
            "xanchor": "right",
            "text": f"<b>{'no verdict' if label == 'none' else label}</b>",
            "font": {"color": f"--{label}"},
        },
    ]


def _rope(comparison: Comparison, metric: Metric) -> dict[str, Any]:
    half = comparison.rope * metric.scale
    return {
        "type": "rect",
        "xref": "x",
        "yref": "paper",
        "x0": -half,
        "x1": half,
        "y0": 0,
        "y1": 1,
        "fillcolor": "--rope",
        "line": {"width": 0},
        "layer": "below",
    }
