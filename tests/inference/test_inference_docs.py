"""What the pages on trained runs show is run as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from nin_exp.cli.main import main

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {name: (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("inference", "export")}


def commands(text: str) -> list[str]:
    return [line for block in re.findall(r"^```text\n(.*?)^```", text, re.S | re.M) for line in block.splitlines()]


def python(text: str) -> str:
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    return str(block)


@pytest.fixture
def place(trained, test_images, save_pngs, in_tmp: Path) -> Path:
    """The run and the images under the names that the pages use."""
    shutil.copytree(trained, in_tmp / "runs" / "photos" / "3f2a9c0d")
    shutil.copy(trained.parent / "study.json", in_tmp / "runs" / "photos")
    save_pngs(test_images[:3], in_tmp / "my_photos")
    return in_tmp


@pytest.mark.parametrize("line", commands(PAGES["inference"]))
def test_command(line, place, capsys) -> None:
    words = shlex.split(line)
    assert words[0] == "nin-exp"
    assert main(words[1:]) == 0
    assert capsys.readouterr().out


@pytest.mark.slow
def test_commands_of_export(place, capsys) -> None:
    """In the order of the page: what one writes the next one reads."""
    lines = commands(PAGES["export"])
    assert len(lines) == 4
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
        assert capsys.readouterr().out


@pytest.mark.slow
def test_python_of_inference(place, capsys) -> None:
    names: dict[str, object] = {}
    exec(python(PAGES["inference"]), names)
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert not names["run"].network.training


@pytest.mark.slow
def test_python_of_export(place, capsys) -> None:
    exec(python(PAGES["export"]), {})
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_every_verb_has_its_section() -> None:
    lines = commands(PAGES["inference"])
    assert len(lines) >= 6
    assert {line.split()[1] for line in lines} == {"predict", "explain", "evaluate"}
    assert {"predict", "explain", "evaluate", "Python"} <= set(re.findall(r"^## (\w+)", PAGES["inference"], re.M))


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_are_there(page) -> None:
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", PAGES[page]) if not t.startswith("http")]
    for target in targets:
        assert (DOCS / target).is_file(), target
    for target in (t for t in targets if t.endswith(".png")):
        assert (DOCS / target).stat().st_size < 300_000
        with Image.open(DOCS / target) as picture:
            picture.verify()
