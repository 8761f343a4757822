"""What the page on trained runs shows is run as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from nin_exp.cli.main import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "inference.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"^```text\n(.*?)^```", TEXT, re.S | re.M) for line in block.splitlines()]


@pytest.fixture
def place(trained, test_images, save_pngs, in_tmp: Path) -> Path:
    """The run and the images under the names that the page uses."""
    shutil.copytree(trained, in_tmp / "runs" / "photos" / "3f2a9c0d")
    shutil.copy(trained.parent / "study.json", in_tmp / "runs" / "photos")
    save_pngs(test_images[:3], in_tmp / "my_photos")
    return in_tmp


@pytest.mark.parametrize("line", COMMANDS)
def test_command(line, place, capsys) -> None:
    words = shlex.split(line)
    assert words[0] == "nin-exp"
    assert main(words[1:]) == 0
    assert capsys.readouterr().out


def test_python(place, capsys) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.S | re.M)
    names: dict[str, object] = {}
    exec(block, names)
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert not names["run"].network.training


def test_every_verb_has_its_section() -> None:
    assert len(COMMANDS) >= 6
    assert {line.split()[1] for line in COMMANDS} == {"predict", "explain", "evaluate"}
    assert {"predict", "explain", "evaluate", "Python"} <= set(re.findall(r"^## (\w+)", TEXT, re.M))
