"""A drawing as a PDF of one page, for pdfLaTeX, which reads no SVG.

PDF 1.4 (ISO 32000-1, annex H is the model): one page, one content stream, the standard font Helvetica, which every
viewer has and which is not embedded; characters outside of Windows-1252 become question marks. The same drawing always
gives the same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from nin_exp.report.drawing import FONT_SIZE, INK, Drawing, Path, Text
from nin_exp.report.text import plain_text

POINTS_PER_PIXEL = 0.75
_FIRST, _MISSING = 32, 556
_WIDTHS = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),
    *(556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556),
    *(1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778),
    *(667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556),
    *(333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556),
    *(556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584),
)
"""Of the characters 32 to 126 in Helvetica, in thousandths of the size (Adobe's font metrics)."""


def to_pdf(drawing: Drawing) -> bytes:
    """Write a drawing as PDF."""
    alphas = sorted({shape.opacity for shape in drawing.shapes if isinstance(shape, Path) and shape.opacity < 1})
    content = zlib.compress("\n".join(_content(drawing, alphas)).encode("cp1252"), 9)
    box = " ".join(f"{POINTS_PER_PIXEL * side:.2f}" for side in (drawing.width, drawing.height))
    states = " ".join(f"/A{place} << /ca {alpha:g} >>" for place, alpha in enumerate(alphas))
    title = _escaped(plain_text(drawing.title))
    return _file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {box}] /Contents 5 0 R "
            f"/Resources << /Font << /F 4 0 R >> /ExtGState << {states} >> >> >>".encode(),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
            f"<< /Length {len(content)} /Filter /FlateDecode >>\nstream\n".encode() + content + b"\nendstream",
            f"<< /Title ({title}) >>".encode("cp1252"),
        ]
    )


def text_width(text: str) -> float:
    """Width of a line of text in CSS pixels."""
    places = (code - _FIRST for code in text.encode("cp1252", "replace"))
    return FONT_SIZE / 1000 * sum(_WIDTHS[place] if 0 <= place < len(_WIDTHS) else _MISSING for place in places)


def _content(drawing: Drawing, alphas: list[float]) -> Iterable[str]:
    """The operators of the page: y is turned downwards, a pixel is the unit."""
    yield f"{POINTS_PER_PIXEL} 0 0 -{POINTS_PER_PIXEL} 0 {POINTS_PER_PIXEL * drawing.height:.2f} cm 1 j"
    for shape in drawing.shapes:
        yield _text(shape) if isinstance(shape, Text) else f"q {_path(shape, alphas)} Q"


def _path(shape: Path, alphas: list[float]) -> str:
    parts = [f"/A{alphas.index(shape.opacity)} gs"] if shape.opacity < 1 else []
    if shape.stroke:
        dash = " ".join(f"{part:g}" for part in shape.dash)
        parts.append(f"{_colour(shape.stroke)} RG {shape.width:g} w [{dash}] 0 d")
    if shape.fill:
        parts.append(f"{_colour(shape.fill)} rg")
    for place, (x, y) in enumerate(shape.points):
        parts.append(f"{x:.1f} {y:.1f} {'l' if place else 'm'}")
    if shape.is_closed:
        parts.append("h")
    return " ".join([*parts, "B" if shape.stroke and shape.fill else "S" if shape.stroke else "f"])


def _text(shape: Text) -> str:
    before = {"start": 0.0, "middle": 0.5, "end": 1.0}[shape.anchor] * text_width(shape.text)
    # Text is turned back: the page's y points downwards, letters do not.
    turn, x, y = ("1 0 0 -1", shape.x - before, shape.y)
    if shape.is_upright:
        turn, x, y = ("0 -1 -1 0", shape.x, shape.y + before)
    return f"BT {_colour(INK)} rg /F {FONT_SIZE} Tf {turn} {x:.1f} {y:.1f} Tm ({_escaped(shape.text)}) Tj ET"


def _escaped(text: str) -> str:
    known = text.replace("\u2212", "-").encode("cp1252", "replace").decode("cp1252", "replace")
    return known.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _colour(text: str) -> str:
    """Three numbers in [0, 1] of ``#rgb`` or ``#rrggbb``."""
    digits = text[1:]
    parts = [digits[i : i + 2] for i in (0, 2, 4)] if len(digits) == 6 else [2 * digit for digit in digits]
    return " ".join(f"{int(part, 16) / 255:.3f}" for part in parts)


def _file(objects: list[bytes]) -> bytes:
    """Number the objects from 1, and write them with the table of their places; the last one is the information."""
    out, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + content + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return (
        out
        + b"xref\n0 %d\n0000000000 65535 f \n" % size
        + table
        + b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, size - 1, len(out))
    )
