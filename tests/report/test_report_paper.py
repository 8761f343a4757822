"""Figures for a paper: the same shapes as SVG and as PDF."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Callable
from pathlib import Path as File

import pytest

from nin_exp.report.drawing import Drawing, Path, to_svg
from nin_exp.report.pdf import POINTS_PER_PIXEL, text_width, to_pdf
from nin_exp.report.write import ReportPaths, build_report

Writer = Callable[..., File]
SPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def paths(module_example_writer: Writer, tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    folder = tmp_path_factory.mktemp("paper")
    return build_report(module_example_writer(folder / "s", blocks=("mnist", "a<b>&c (é, λ)"), seeds=6))


def objects_of(pdf: bytes) -> dict[int, bytes]:
    """The objects of a PDF, found by its own table of places."""
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", pdf)[1])  # type: ignore[index]
    table = pdf[start:].split(b"\n")
    assert table[0] == b"xref"
    size = int(table[1].split()[1])
    assert table[2] == b"0000000000 65535 f "
    found = {}
    for number in range(1, size):
        place = int(table[2 + number][:10])
        head = b"%d 0 obj\n" % number
        assert pdf[place : place + len(head)] == head
        found[number] = pdf[place + len(head) : pdf.index(b"\nendobj\n", place)]
    assert b"/Size %d " % size in pdf[start:]
    return found


def content_of(pdf: bytes) -> str:
    stream = next(part for part in objects_of(pdf).values() if b"stream\n" in part)
    head, _, rest = stream.partition(b"stream\n")
    length = int(re.search(rb"/Length (\d+)", head)[1])  # type: ignore[index]
    assert rest[length:] == b"\nendstream"
    return zlib.decompress(rest[:length]).decode("cp1252")


def test_each_figure_is_there_twice(paths: ReportPaths) -> None:
    names = {path.name for path in paths.figures.iterdir()}
    stems = {"differences", *(f"curves-{block}-{name}" for block in (0, 1) for name in ("val-acc", "train-loss"))}
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("svg", "pdf")}


def test_nothing_is_drawn_outside(paths: ReportPaths) -> None:
    for path in paths.figures.glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        width, height = float(root.get("width", 0)), float(root.get("height", 0))
        shapes = [e for e in root.iter() if e.get("points")]
        assert len(shapes) > 5
        for shape in shapes:
            for point in str(shape.get("points")).split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= width
                assert 0 <= y <= height
        for words in root.iter(f"{SPACE}text"):
            if words.get("transform") is None:
                before = {"start": 0.0, "middle": 0.5, "end": 1.0}[str(words.get("text-anchor"))]
                left = float(str(words.get("x"))) - before * text_width(words.text or "")
                assert left >= -1
                assert left + text_width(words.text or "") <= width + 1


def test_intervals_are_to_scale(paths: ReportPaths) -> None:
    contrasts = json.loads(paths.json.read_text())["contrasts"]
    forest = ElementTree.parse(paths.figures / "differences.svg").getroot()
    lengths = []
    for shape in forest.iter(f"{SPACE}polyline"):
        if shape.get("stroke-width") == "4":
            low, high = (float(point.split(",")[0]) for point in str(shape.get("points")).split())
            lengths.append(high - low)
    expected = [c["effect"]["interval"]["high"] - c["effect"]["interval"]["low"] for c in contrasts]
    assert lengths[0] / lengths[1] == pytest.approx(expected[0] / expected[1], rel=0.05)


def test_pdf_and_svg_hold_the_same_shapes(paths: ReportPaths) -> None:
    for path in paths.figures.glob("*.pdf"):
        content = content_of(path.read_bytes())
        root = ElementTree.parse(path.with_suffix(".svg")).getroot()
        shapes = [e for e in root.iter() if e.get("points")]
        assert content.count(" m ") == len(shapes)
        assert content.count("BT ") == len(list(root.iter(f"{SPACE}text")))
        first = str(shapes[0].get("points")).split()[0].split(",")
        assert f"{first[0]} {first[1]} m" in content


def test_pdf_by_hand() -> None:
    drawing = Drawing(200, 100, "a (title)")
    drawing.line((10, 20), (30, 20), "#ff0000", 1.5, (3, 2))
    drawing.area([(0, 0), (10, 0), (10, 10)], "#000", opacity=0.5)
    drawing.text(50, 60, r"(\)−±λ", "end")
    drawing.upright(12, 50, "up")
    pdf = to_pdf(drawing)
    objects = objects_of(pdf)
    assert b"/MediaBox [0 0 150.00 75.00]" in objects[3]
    assert b"/A0 << /ca 0.5 >>" in objects[3]
    assert objects[6] == b"<< /Title (a \\(title\\)) >>"
    lines = content_of(pdf).split("\n")
    assert lines[0] == f"{POINTS_PER_PIXEL} 0 0 -{POINTS_PER_PIXEL} 0 75.00 cm 1 j"
    assert lines[1] == "q 1.000 0.000 0.000 RG 1.5 w [3 2] 0 d 10.0 20.0 m 30.0 20.0 l S Q"
    assert lines[2] == "q /A0 gs 0.000 0.000 0.000 rg 0.0 0.0 m 10.0 0.0 l 10.0 10.0 l h f Q"
    assert lines[3].endswith(r"Tm (\(\\\)-±?) Tj ET")
    assert "0 -1 -1 0 12.0" in lines[4]
    assert to_pdf(drawing) == pdf


def test_width_of_text_is_adobes() -> None:
    # Helvetica: N 722, i 222, space 278, ± 584 (not in the table: 556)
    assert text_width("Ni ") == pytest.approx(11 * (722 + 222 + 278) / 1000)
    assert text_width("") == 0


def test_svg_of_hostile_names_is_escaped() -> None:
    drawing = Drawing(10, 10, "<script>")
    drawing.text(1, 2, '<b>\x1b&"')
    drawing.shapes.append(Path(((0, 0), (1, 1)), stroke="#000", fill="#fff", is_closed=True))
    root = ElementTree.fromstring(to_svg(drawing))
    assert [e.text for e in root.iter(f"{SPACE}text")] == ['<b>\\x1b&"']
    assert [e.text for e in root.iter(f"{SPACE}title")] == ["<script>"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext (Debian's poppler-utils)")
def test_another_program_reads_the_pdf(paths: ReportPaths) -> None:
    done = subprocess.run(
        ["pdftotext", "-layout", paths.figures / "differences.pdf", "-"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "mnist: fc" in done.stdout
    assert "difference to gap in test accuracy (points), 95 % intervals" in done.stdout
