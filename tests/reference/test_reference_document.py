"""docs/reference.md: its snippets run, and every test it names exists; so do the examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import nin_exp.reference
from nin_exp.reference.losses import Loss
from nin_exp.reference.module import Layer
from nin_exp.reference.optimizers import Optimizer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference.md"
PACKAGE = Path(nin_exp.reference.__file__).parent
MODULES = sorted(file.stem for file in PACKAGE.glob("*.py") if file.stem != "__init__")
OPERATORS = {
    name: thing
    for module in MODULES
    for name, thing in vars(importlib.import_module(f"nin_exp.reference.{module}")).items()
    if inspect.isclass(thing) and issubclass(thing, Layer | Loss | Optimizer) and not inspect.isabstract(thing)
}
WITHOUT_A_PAPER = {"Sequential", "Flatten", "Unflatten"}


def test_the_snippets_of_the_page_run():
    results = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert results.attempted > 40
    assert results.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_hold(name):
    assert doctest.testmod(importlib.import_module(f"nin_exp.reference.{name}")).failed == 0


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_tells_its_formula_its_shapes_and_its_source(name):
    text = inspect.getdoc(OPERATORS[name]) or ""
    assert re.search(r"\w\]? = |<-", text), "no formula"
    assert re.search(r"[Ss]hapes?\b|``\(N, ", text), "no shapes"
    module = inspect.getmodule(OPERATORS[name])
    assert module is not None
    if name not in WITHOUT_A_PAPER:
        assert re.search(r"\b(19|20)\d\d\b", text + (module.__doc__ or "")), "no source"


def test_the_operators_were_found():
    assert len(OPERATORS) == 26


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
