"""What docs/inference.md and docs/export.md say beside their commands, which tests/docs runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {name: (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("inference", "export")}


def test_every_verb_has_its_section_and_a_command() -> None:
    assert {"predict", "explain", "evaluate", "Python"} <= set(re.findall(r"^## (\w+)", PAGES["inference"], re.M))
    assert {"predict", "explain", "evaluate"} <= set(re.findall(r"^nin-exp (\w+)", PAGES["inference"], re.M))
    assert {"export", "predict"} <= set(re.findall(r"^nin-exp (\w+)", PAGES["export"], re.M))


def test_every_head_is_in_the_table_of_pictures() -> None:
    """What the table says of each is held in test_inference_maps.py."""
    rows = re.findall(r"^\| ((?:`\w+` ?)+) \| (yes|no) \| (yes|no) \| yes \|$", PAGES["inference"], re.M)
    table = {head: (maps, cam) for heads, maps, cam in rows for head in re.findall(r"`(\w+)`", heads)}
    assert set(table) == {path.stem for path in (DOCS.parent / "conf" / "head").glob("*.yaml")}
    for head, (maps, cam) in table.items():
        assert (maps == "no") == (head in ("flatten_linear", "mlp"))
        assert (cam == "yes") == (head in ("gap", "gap_linear", "gmp_linear"))


@pytest.mark.parametrize("page", PAGES)
def test_pictures_are_there_and_small(page) -> None:
    for target in re.findall(r"\]\(([^)]+\.png)\)", PAGES[page]):
        assert (DOCS / target).stat().st_size < 300_000
        with Image.open(DOCS / target) as picture:
            picture.verify()
