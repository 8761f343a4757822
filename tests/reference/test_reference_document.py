"""docs/reference.md: its snippets run, and every test it names exists; so do the examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

import nin_exp.reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference.md"
PACKAGE = Path(nin_exp.reference.__file__).parent
MODULES = sorted(file.stem for file in PACKAGE.glob("*.py") if file.stem != "__init__")


def test_the_snippets_of_the_page_run():
    results = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert results.attempted > 40
    assert results.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_hold(name):
    assert doctest.testmod(importlib.import_module(f"nin_exp.reference.{name}")).failed == 0


def test_every_test_that_the_page_names_exists():
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", PAGE.read_text(encoding="utf-8")))
    assert len(named) >= 28
    written = {
        name
        for file in Path(__file__).parent.glob("test_reference_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named - written == set()


def test_every_published_defect_has_a_row():
    """A test that rejects published code, and is not in the table, is a defect left out."""
    page = PAGE.read_text(encoding="utf-8")
    for file in Path(__file__).parent.glob("test_reference_published_*.py"):
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE):
            assert f"`{name}`" in page, name


def test_every_file_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in MODULES if f"`{name}.py`" not in page] == []
