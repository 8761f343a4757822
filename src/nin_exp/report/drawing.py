"""Figures for a paper as plain shapes, written as SVG; ``pdf.py`` writes the same shapes as PDF.

Coordinates are CSS pixels, y downwards. One font, black on white: every vector editor reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from xml.sax.saxutils import escape

from nin_exp.report.text import plain_text

FONT = "Helvetica, Arial, sans-serif"
FONT_SIZE = 11
INK = "#1c2126"

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Path:
    """A line through points, or an area.

    Args:
        fill, stroke: colours such as ``#1c2126``; None for none. Only an area that is filled has an ``opacity``.
        dash: lengths of dashes and gaps.
        is_closed: the last point is joined to the first.
    """

    points: tuple[Point, ...]
    stroke: str | None = None
    width: float = 1.0
    dash: tuple[float, ...] = ()
    fill: str | None = None
    opacity: float = 1.0
    is_closed: bool = False


@dataclass(frozen=True)
class Text:
    """Words at a point; ``is_upright`` turns them to read from bottom to top."""

    x: float
    y: float
    text: str
    anchor: Anchor = "start"
    is_upright: bool = False


@dataclass
class Drawing:
    """A figure; shapes are painted in their order."""

    width: float
    height: float
    title: str
    shapes: list[Path | Text] = field(default_factory=list)

    def line(self, start: Point, end: Point, colour: str, width: float, dash: Sequence[float] = ()) -> None:
        """Draw a straight line."""
        self.curve((start, end), colour, width, dash)

    def area(self, points: Sequence[Point], fill: str, opacity: float = 1.0) -> None:
        """Fill a polygon."""
        self.shapes.append(Path(tuple(points), fill=fill, opacity=opacity, is_closed=True))

    def curve(self, points: Sequence[Point], colour: str, width: float, dash: Sequence[float] = ()) -> None:
        """Draw a line through points."""
        self.shapes.append(Path(tuple(points), stroke=colour, width=width, dash=tuple(dash)))

    def text(self, x: float, y: float, text: str, anchor: Anchor = "start") -> None:
        """Write a line of text; ``y`` is its base line."""
        self.shapes.append(Text(x, y, plain_text(text), anchor))

    def upright(self, x: float, y: float, text: str) -> None:
        """Write a line of text from bottom to top, its middle at the point."""
        self.shapes.append(Text(x, y, plain_text(text), "middle", is_upright=True))


def to_svg(drawing: Drawing) -> str:
    """Write a drawing as SVG."""
    width, height, title = drawing.width, drawing.height, escape(plain_text(drawing.title))
    parts = [_path(shape) if isinstance(shape, Path) else _text(shape) for shape in drawing.shapes]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" font-family="{FONT}" font-size="{FONT_SIZE}" fill="{INK}">\n'
        f'<title>{title}</title>\n<rect width="{width:g}" height="{height:g}" fill="#fff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _path(shape: Path) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    dash = f' stroke-dasharray="{" ".join(f"{part:g}" for part in shape.dash)}"' if shape.dash else ""
    line = f' stroke="{shape.stroke}" stroke-width="{shape.width:g}"{dash}' if shape.stroke else ""
    seen = f' opacity="{shape.opacity:g}"' if shape.opacity < 1 else ""
    kind = "polygon" if shape.is_closed else "polyline"
    return f'<{kind} points="{points}" fill="{shape.fill or "none"}"{line}{seen}/>'


def _text(shape: Text) -> str:
    turn = f' transform="rotate(-90 {shape.x:.1f} {shape.y:.1f})"' if shape.is_upright else ""
    words = escape(shape.text, {'"': "&quot;"})
    return f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" text-anchor="{shape.anchor}"{turn}>{words}</text>'
