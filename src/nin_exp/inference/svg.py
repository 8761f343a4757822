"""Sheets of pictures as SVG: the pictures are embedded, text and boxes stay text and lines."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from PIL import Image

from nin_exp.inference.pictures import CAPTION, CELL, GAP, Cell
from nin_exp.inference.text import printable

_FONT = "font-family='sans-serif' font-size='13' fill='#202020' text-anchor='middle'"


def svg_sheet(rows: Sequence[Sequence[Cell]]) -> str:
    """Cells in rows, laid out as ``pictures.sheet`` does it."""
    columns = max(len(row) for row in rows)
    width = columns * CELL + (columns + 1) * GAP
    height = len(rows) * (CELL + CAPTION) + (len(rows) + 1) * GAP
    parts = [
        _cell(cell, GAP + column * (CELL + GAP), GAP + row_number * (CELL + CAPTION + GAP))
        for row_number, row in enumerate(rows)
        for column, cell in enumerate(row)
    ]
    return _document(width, height, parts)


def svg_picture(picture: Image.Image) -> str:
    """One picture alone."""
    return _document(picture.width, picture.height, [_image(picture, 0, 0)])


def _cell(cell: Cell, x: int, y: int) -> str:
    left, top = x + (CELL - cell.picture.width) // 2, y + (CELL - cell.picture.height) // 2
    parts = [_image(cell.picture, left, top)]
    if cell.box is not None:
        x0, y0, x1, y1 = cell.box
        parts.append(
            f"<rect x='{left + x0}' y='{top + y0}' width='{max(1, x1 - x0)}' height='{max(1, y1 - y0)}' "
            "fill='none' stroke='#00ffff' stroke-width='2'/>"
        )
    weight = " font-weight='bold'" if cell.is_bold else ""
    caption = printable(cell.caption)  # control characters end an XML document
    # Long names are squeezed, not cut: a reader of an SVG may search it.
    squeeze = f" textLength='{CELL}' lengthAdjust='spacingAndGlyphs'" if len(caption) > CELL // 7 else ""
    parts.append(f"<text x='{x + CELL // 2}' y='{y + CELL + 15}' {_FONT}{weight}{squeeze}>{escape(caption)}</text>")
    return "".join(parts)


def _image(picture: Image.Image, x: int, y: int) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    data = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return f"<image x='{x}' y='{y}' width='{picture.width}' height='{picture.height}' href={quoteattr(data)}/>"


def _document(width: int, height: int, parts: Sequence[str]) -> str:
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}'>"
    return "\n".join([head, "<rect width='100%' height='100%' fill='#ffffff'/>", *parts, "</svg>"]) + "\n"
