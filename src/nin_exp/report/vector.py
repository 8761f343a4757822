"""Two figures for a paper: paired differences with their intervals, and learning curves.

The figures of the page have a button that saves each of them as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from nin_exp.report.analysis import Analysis
from nin_exp.report.contrasts import Contrast
from nin_exp.report.drawing import INK, Drawing
from nin_exp.report.figures.curves import average
from nin_exp.report.figures.figure import NUM_ARM_COLOURS
from nin_exp.report.metric import Metric, percent
from nin_exp.report.pdf import text_width

WIDTH = 458
"""The width of the text in LaTeX's article, 345 of its points."""

ROW = 34
MARGIN = 14
LEFT = 58
BOTTOM = 250
COLOURS = ("#59636e", "#1f6fb2", "#c2571a", "#23804f", "#8446ab", "#b1256a", "#82651a", "#13737f")
"""Those of the page's light theme."""

DASHES: tuple[tuple[float, ...], ...] = ((), (7, 3), (2, 3), (7, 3, 2, 3))
MOST_EPOCHS = 200
NAMES_EACH_ROW = 4


def difference_drawing(analysis: Analysis) -> Drawing | None:
    """The forest plot of the study's contrasts; None without an effect."""
    comparison = analysis.comparison
    shown = [contrast for contrast in analysis.contrasts if contrast.outcome.effect is not None]
    if comparison is None or not shown:
        return None
    metric = Metric(comparison.metric)
    ends = [-comparison.rope, comparison.rope, *(end for c in shown for end in _ends(c))]
    scale = Scale(min(ends) * metric.scale, max(ends) * metric.scale, 190, WIDTH - MARGIN)
    bottom = MARGIN + ROW * len(shown)
    low, high = scale(-comparison.rope * metric.scale), scale(comparison.rope * metric.scale)
    drawing = Drawing(WIDTH, bottom + 46, f"Paired differences in {metric.label}")
    drawing.area([(low, MARGIN), (high, MARGIN), (high, bottom), (low, bottom)], "#e4e9ee")
    drawing.line((scale(0), MARGIN), (scale(0), bottom), "#777777", 1)
    for row, contrast in enumerate(shown):
        _row(drawing, contrast, metric, scale, MARGIN + ROW * row + ROW / 2)
    unit = "points" if metric.is_accuracy else metric.key
    title = f"difference to {comparison.baseline} in {metric.label} ({unit}), {percent(1 - comparison.alpha)} intervals"
    _x_axis(drawing, scale, bottom, title)
    return drawing


def _ends(contrast: Contrast) -> list[float]:
    effect = contrast.outcome.effect
    assert effect is not None
    return [effect.mean] if effect.widened is None else [effect.widened.low, effect.widened.high]


def _row(drawing: Drawing, contrast: Contrast, metric: Metric, scale: Scale, y: float) -> None:
    effect = contrast.outcome.effect
    assert effect is not None
    name = f"{contrast.block}: {contrast.arm}" if contrast.block else contrast.arm
    drawing.text(MARGIN, y + 4, _cut(name, 30))
    for interval, colour, width in ((effect.widened, "#333333", 1.2), (effect.interval, "#8fa6ba", 4.0)):
        if interval is not None:
            low, high = scale(interval.low * metric.scale), scale(interval.high * metric.scale)
            drawing.line((low, y), (high, y), colour, width)
    x = scale(effect.mean * metric.scale)
    drawing.area([(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)], INK)


def curves_drawing(analysis: Analysis, block: str, name: str) -> Drawing | None:
    """Learning curves of one block, a line an arm, the band one standard deviation; None without any.

    Args:
        name: a column of ``metrics.csv``, such as ``val/acc``.
    """
    metric = Metric(name)
    found = []
    for cell in analysis.cells_of(block):
        band = average([r.curve for r in cell.runs if r.state == "done" and r.curve is not None], name)
        if band is not None:
            found.append((analysis.arms.index(cell.arm), cell.arm, band))
    if not found:
        return None
    values = [v * metric.scale for *_, band in found for v in band.mean.tolist() if not math.isnan(v)]
    epochs = [int(epoch) for *_, band in found for epoch in (band.epochs[0], band.epochs[-1])]
    x = Scale(min(epochs), max(epochs), LEFT, WIDTH - MARGIN)
    y = Scale(min(values), max(values), BOTTOM, 34)
    drawing = Drawing(WIDTH, BOTTOM + 46, f"{metric.label} by epoch, {block}")
    for tick in y.ticks():
        drawing.line((LEFT, y(tick)), (WIDTH - MARGIN, y(tick)), "#e4e4e0", 0.8)
        drawing.text(LEFT - 6, y(tick) + 4, f"{tick:g}", "end")
    for entry, (place, arm, band) in enumerate(found):
        step = max(1, math.ceil(band.epochs.size / MOST_EPOCHS))
        points = [
            (x(float(e)), m * metric.scale, s * metric.scale)
            for e, m, s in zip(band.epochs[::step], band.mean[::step], band.sd[::step], strict=True)
            if not math.isnan(m)
        ]
        _curve(drawing, points, y, place)
        _legend(drawing, entry, place, arm)
    _x_axis(drawing, x, BOTTOM, "epoch")
    drawing.upright(12, 142, f"{metric.label}, {metric.unit}" if metric.unit else metric.label)
    return drawing


def _curve(drawing: Drawing, points: Sequence[tuple[float, float, float]], y: Scale, place: int) -> None:
    colour = COLOURS[place % NUM_ARM_COLOURS]
    wide = [(x, mean, sd) for x, mean, sd in points if not math.isnan(sd)]
    upper = [(x, y.clipped(mean + sd)) for x, mean, sd in wide]
    lower = [(x, y.clipped(mean - sd)) for x, mean, sd in reversed(wide)]
    if wide:
        drawing.area([*upper, *lower], colour, opacity=0.16)
    drawing.curve([(x, y(mean)) for x, mean, _ in points], colour, 1.8, DASHES[place % len(DASHES)])


def _legend(drawing: Drawing, entry: int, place: int, arm: str) -> None:
    x, y = 64 + 104 * (entry % NAMES_EACH_ROW), 12 + 13 * (entry // NAMES_EACH_ROW)
    drawing.line((x, y), (x + 22, y), COLOURS[place % NUM_ARM_COLOURS], 2, DASHES[place % len(DASHES)])
    drawing.text(x + 27, y + 4, _cut(arm, 13))


def _cut(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


class Scale:
    """From values to pixels, with a little air at both ends."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        air = 0.04 * (high - low) or 0.5
        self.low, self.high, self.first, self.last = low - air, high + air, first, last

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def clipped(self, value: float) -> float:
        """The pixel of a value, moved inside the scale."""
        return self(min(max(value, self.low), self.high))

    def ticks(self) -> list[float]:
        """Round values inside the scale, about five."""
        rough = (self.high - self.low) / 5
        size = 10 ** math.floor(math.log10(rough))
        step = next(size * m for m in (1, 2, 5, 10) if size * m >= rough)
        first = math.ceil(self.low / step)
        return [round(n * step, 12) for n in range(first, math.floor(self.high / step) + 1)]


def _x_axis(drawing: Drawing, scale: Scale, y: float, title: str) -> None:
    drawing.line((scale.first, y), (scale.last, y), "#333333", 1)
    for tick in scale.ticks():
        drawing.line((scale(tick), y), (scale(tick), y + 4), "#333333", 1)
        drawing.text(scale(tick), y + 17, f"{tick:g}", "middle")
    room = scale.last - text_width(title) / 2  # a long title moves to the left
    drawing.text(min((scale.first + scale.last) / 2, room), y + 36, title, "middle")
