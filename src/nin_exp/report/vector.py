"""Two figures as SVG files for a paper: paired differences with their intervals, and learning curves.

Plain shapes and text in one font, black on white; every vector editor and LaTeX's ``svg`` package reads them. The
figures of the page have a button that saves each of them as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from nin_exp.report.analysis import Analysis
from nin_exp.report.contrasts import Contrast
from nin_exp.report.figures.curves import average
from nin_exp.report.figures.figure import NUM_ARM_COLOURS
from nin_exp.report.metric import Metric, percent
from nin_exp.report.text import plain_text

WIDTH = 480
ROW = 34
MARGIN = 14
FONT = "Helvetica, Arial, sans-serif"
COLOURS = ("#59636e", "#1f6fb2", "#c2571a", "#23804f", "#8446ab", "#b1256a", "#82651a", "#13737f")
"""Those of the page's light theme."""

DASHES = ("", "7 3", "2 3", "7 3 2 3")
MOST_EPOCHS = 200


def difference_svg(analysis: Analysis) -> str | None:
    """The forest plot of the study's contrasts; None without an effect."""
    comparison = analysis.comparison
    shown = [contrast for contrast in analysis.contrasts if contrast.outcome.effect is not None]
    if comparison is None or not shown:
        return None
    metric = Metric(comparison.metric)
    ends = [-comparison.rope, comparison.rope, *(end for c in shown for end in _ends(c))]
    scale = Scale(min(ends) * metric.scale, max(ends) * metric.scale, 190, WIDTH - MARGIN)
    bottom = MARGIN + ROW * len(shown)
    rope = comparison.rope * metric.scale
    parts = [
        f'<rect x="{scale(-rope):.1f}" y="{MARGIN}" width="{scale(rope) - scale(-rope):.1f}" '
        f'height="{bottom - MARGIN}" fill="#e4e9ee"/>',
        _line(scale(0), MARGIN, scale(0), bottom, "#777", 1),
    ]
    for row, contrast in enumerate(shown):
        parts += _row(contrast, metric, scale, MARGIN + ROW * row + ROW / 2)
    unit = "points" if metric.is_accuracy else metric.key
    title = f"difference to {comparison.baseline} in {metric.label} ({unit}), {percent(1 - comparison.alpha)} intervals"
    parts += _x_axis(scale, bottom, title)
    return _document(WIDTH, bottom + 46, f"Paired differences in {metric.label}", parts)


def _ends(contrast: Contrast) -> list[float]:
    effect = contrast.outcome.effect
    assert effect is not None
    return [effect.mean] if effect.widened is None else [effect.widened.low, effect.widened.high]


def _row(contrast: Contrast, metric: Metric, scale: Scale, y: float) -> list[str]:
    effect = contrast.outcome.effect
    assert effect is not None
    name = f"{contrast.block}: {contrast.arm}" if contrast.block else contrast.arm
    parts = [_text(MARGIN, y + 4, name[:30], "start")]
    for interval, width in ((effect.widened, 1.2), (effect.interval, 4)):
        if interval is not None:
            low, high = scale(interval.low * metric.scale), scale(interval.high * metric.scale)
            parts.append(_line(low, y, high, y, "#333" if width < 2 else "#8fa6ba", width))
    x = scale(effect.mean * metric.scale)
    parts.append(f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" fill="#1c2126"/>')
    return parts


def curves_svg(analysis: Analysis, block: str, name: str) -> str | None:
    """Learning curves of one block, a line an arm, the band one standard deviation; None without any.

    Args:
        name: a column of ``metrics.csv``, such as ``val/acc``.
    """
    metric = Metric(name)
    found = []
    for cell in analysis.cells_of(block):
        band = average([r.curve for r in cell.runs if r.state == "done" and r.curve is not None], name)
        if band is not None:
            found.append((cell.arm, band))
    if not found:
        return None
    values = [v * metric.scale for _, band in found for v in band.mean.tolist() if not math.isnan(v)]
    last = max(int(band.epochs[-1]) for _, band in found)
    x, y = (
        Scale(min(int(b.epochs[0]) for _, b in found), last, 58, WIDTH - MARGIN),
        Scale(min(values), max(values), 250, 34),
    )
    parts = [_line(58, y(tick), WIDTH - MARGIN, y(tick), "#e4e4e0", 0.8) for tick in y.ticks()]
    parts += [_text(52, y(tick) + 4, f"{tick:g}", "end") for tick in y.ticks()]
    for arm, band in found:
        place = analysis.arms.index(arm)
        step = max(1, math.ceil(band.epochs.size / MOST_EPOCHS))
        points = [
            (x(float(e)), m * metric.scale, s * metric.scale)
            for e, m, s in zip(band.epochs[::step], band.mean[::step], band.sd[::step], strict=True)
            if not math.isnan(m)
        ]
        parts += _curve(points, y, place)
        at = 64 + 104 * (place % 4), 12 + 13 * (place // 4)
        parts += [_line(at[0], at[1], at[0] + 22, at[1], COLOURS[place % NUM_ARM_COLOURS], 2, DASHES[place % 4])]
        parts.append(_text(at[0] + 27, at[1] + 4, arm[:12], "start"))
    parts += _x_axis(x, 250, "epoch")
    unit = f", {metric.unit}" if metric.unit else ""
    parts.append(f'<g transform="rotate(-90 12 142)">{_text(12, 142, f"{metric.label}{unit}", "middle")}</g>')
    return _document(WIDTH, 296, f"{metric.label} by epoch, {block}", parts)


def _curve(points: Sequence[tuple[float, float, float]], y: Scale, place: int) -> list[str]:
    colour = COLOURS[place % NUM_ARM_COLOURS]
    line = " ".join(f"{x:.1f},{y(mean):.1f}" for x, mean, _ in points)
    wide = [(x, mean, sd) for x, mean, sd in points if not math.isnan(sd)]
    upper = [f"{x:.1f},{y.clipped(mean + sd):.1f}" for x, mean, sd in wide]
    lower = [f"{x:.1f},{y.clipped(mean - sd):.1f}" for x, mean, sd in reversed(wide)]
    dash = f' stroke-dasharray="{DASHES[place % 4]}"' if DASHES[place % 4] else ""
    return [
        *([f'<polygon points="{" ".join(upper + lower)}" fill="{colour}" opacity="0.16"/>'] if wide else []),
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>',
    ]


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


def _x_axis(scale: Scale, y: float, title: str) -> list[str]:
    parts = [_line(scale.first, y, scale.last, y, "#333", 1)]
    for tick in scale.ticks():
        parts += [
            _line(scale(tick), y, scale(tick), y + 4, "#333", 1),
            _text(scale(tick), y + 17, f"{tick:g}", "middle"),
        ]
    return [*parts, _text((scale.first + scale.last) / 2, y + 36, title, "middle")]


def _line(x: float, y: float, x2: float, y2: float, colour: str, width: float, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashes}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    clean = escape(plain_text(text), {'"': "&quot;"})
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{clean}</text>'


def _document(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="{FONT}" font-size="11" fill="#1c2126">\n<title>{escape(plain_text(title))}</title>\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
