"""Learning curves: the mean over the seeds of an arm, with a band, and each seed as a thin line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nin_exp.report.arms import Cell
from nin_exp.report.collect import Curve
from nin_exp.report.figures.figure import Figure, Trace, arm_band, arm_colour, arm_dash, axis, layout, numbers
from nin_exp.report.metric import Metric
from nin_exp.report.text import plain_text, plotly_text

MOST_EPOCHS = 200
"""Epochs drawn of a curve; longer ones are thinned evenly, which a screen does not show."""

MOST_SEEDS = 30
"""Lines of single seeds drawn of an arm; more of them are a band."""

LOG_RATIO = 20.0
"""A loss that falls by more than this is drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Band:
    """Mean and standard deviation over runs, by epoch; ``sd`` is NaN where a single run got that far."""

    epochs: NDArray[np.int64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    num_runs: int


def average(curves: Sequence[Curve], name: str) -> Band | None:
    """Average a metric over runs, epoch by epoch; None when no run has it."""
    having = [curve for curve in curves if name in curve.values and not np.isnan(curve.values[name]).all()]
    if not having:
        return None
    epochs = np.unique(np.concatenate([curve.epochs for curve in having]))
    table = np.full((len(having), epochs.size), np.nan)
    for row, curve in enumerate(having):
        table[row, np.searchsorted(epochs, curve.epochs)] = curve.values[name]
    num = (~np.isnan(table)).sum(axis=0)
    mean = np.divide(np.nansum(table, axis=0), num, out=np.full(epochs.size, np.nan), where=num > 0)
    squares = np.nansum((table - mean) ** 2, axis=0)
    sd = np.sqrt(np.divide(squares, num - 1, out=np.full(epochs.size, np.nan), where=num > 1))
    return Band(epochs, mean, sd, len(having))


def curves_figure(cells: Sequence[Cell], arms: Sequence[str], block: str, name: str, key: str) -> Figure | None:
    """Draw one metric of one block, a line an arm; None when no run has a curve.

    Finished runs are averaged, and thin lines behind the mean; runs that diverged, failed or have not finished are
    dotted.

    Args:
        cells: of this block. name: a column of ``metrics.csv``, such as ``val/acc``. key: of the figure.
    """
    metric = Metric(name)
    data: list[Trace] = []
    spoken: list[str] = []
    means: list[float] = []
    for cell in cells:
        place = arms.index(cell.arm)
        finished = [r.curve for r in cell.runs if r.state == "done" and r.curve is not None]
        band = average(finished, name)
        if band is not None:
            fill, line = _band(band, cell.arm, place, metric)
            data += [*fill, *_seeds(finished, place, metric), line]
            means += [value for value in band.mean if not math.isnan(value)]
            last = metric.score(float(band.mean[-1]))
            spoken.append(f"{plain_text(cell.arm)} ends at {last}{metric.unit}, mean of {band.num_runs} runs")
        data += _unfinished(cell, place, metric)
    if not data:
        return None
    is_log = not metric.is_accuracy and bool(means) and min(means) > 0 and max(means) / min(means) > LOG_RATIO
    unit = f", {metric.unit}" if metric.unit else ""
    y = axis(f"{metric.label}{unit}", **({"type": "log", "dtick": 1} if is_log else {}))
    place_text = f" on {plain_text(block)}" if block else ""
    return Figure(
        key=key,
        title=f"{metric.label[:1].upper()}{metric.label[1:]}{place_text}",
        caption="Logarithmic axis." if is_log else "",
        description=f"{metric.label} by epoch{place_text}. {'; '.join(spoken) or 'No run has finished'}.",
        data=data,
        layout=layout(axis("epoch"), y, has_legend=True),
        height=320,
    )


def _thinned(size: int) -> NDArray[np.int64]:
    step = max(1, math.ceil(size / MOST_EPOCHS))
    return np.unique(np.append(np.arange(0, size, step), size - 1))


def _seeds(finished: Sequence[Curve], place: int, metric: Metric) -> list[Trace]:
    """One trace with a line for each run; none for a single run, which is the mean itself."""
    having = [curve for curve in finished if metric.key in curve.values][:MOST_SEEDS]
    if len(having) < 2:
        return []
    x: list[int | None] = []
    y: list[float | None] = []
    for curve in having:
        keep = _thinned(curve.epochs.size)
        x += [*curve.epochs[keep].tolist(), None]
        y += [*numbers(curve.values[metric.key][keep] * metric.scale), None]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "legendgroup": str(place),
            "showlegend": False,
            "x": x,
            "y": y,
            "hoverinfo": "skip",
            "opacity": 0.4,
            "line": {"width": 0.8, "color": arm_colour(place)},
        }
    ]


def _band(band: Band, arm: str, place: int, metric: Metric) -> tuple[list[Trace], Trace]:
    """The filled band, where runs can differ, and the line of the mean."""
    keep = _thinned(band.epochs.size)
    epochs, mean, sd = band.epochs[keep], band.mean[keep] * metric.scale, band.sd[keep] * metric.scale
    line = {
        "type": "scatter",
        "mode": "lines+markers" if epochs.size == 1 else "lines",
        "name": plotly_text(arm, 24),
        "legendgroup": str(place),
        "x": epochs.tolist(),
        "y": numbers(mean),
        "hovertemplate": "epoch %{x}: %{y:.4~g}",
        "line": {"width": 2, "color": arm_colour(place), "dash": arm_dash(place)},
        "marker": {"color": arm_colour(place)},
    }
    has_band = ~np.isnan(sd)
    if not has_band.any():
        return [], line
    high, low = (mean + sd)[has_band], (mean - sd)[has_band]
    if not metric.is_accuracy:
        low = np.maximum(low, mean[has_band] / 10)  # a loss is positive, and its axis may be logarithmic
    fill = {
        "type": "scatter",
        "mode": "lines",
        "legendgroup": str(place),
        "showlegend": False,
        "x": [*epochs[has_band].tolist(), *epochs[has_band][::-1].tolist()],
        "y": numbers([*high, *low[::-1]]),
        "fill": "toself",
        "fillcolor": arm_band(place),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    return [fill], line


def _unfinished(cell: Cell, place: int, metric: Metric) -> list[Trace]:
    traces = []
    for run in cell.runs:
        if run.state == "done" or run.curve is None or metric.key not in run.curve.values:
            continue
        keep = _thinned(run.curve.epochs.size)
        what = f"{plotly_text(cell.arm, 24)}, seed {run.job.seed}: {run.state}"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if keep.size == 1 else "lines",
                "showlegend": False,
                "legendgroup": str(place),
                "x": run.curve.epochs[keep].tolist(),
                "y": numbers(run.curve.values[metric.key][keep] * metric.scale),
                "text": what,
                "hoverinfo": "text",
                "line": {"width": 1, "color": arm_colour(place), "dash": "dot"},
                "marker": {"color": arm_colour(place)},
            }
        )
    return traces
