"""The import contracts see the whole package: a module that the linter cannot see obeys no contract."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

COME_WITH = {"packaging": "pytorch-lightning", "markupsafe": "jinja2", "sqlalchemy": "optuna"}
"""Packages whose types are part of what a declared one offers."""


@pytest.fixture(scope="module")
def modules_on_disk(root) -> set[str]:
    names = set()
    for file in (root / "src/nin_exp").rglob("*.py"):
        parts = file.relative_to(root / "src").with_suffix("").parts
        names.add(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def test_linter_sees_every_module(modules_on_disk):
    seen = grimp.build_graph("nin_exp", cache_dir=None).modules
    assert len(modules_on_disk) > 20
    assert seen == modules_on_disk


def test_every_top_level_module_has_a_layer(root, modules_on_disk):
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = [c for c in settings["contracts"] if c["type"] == "layers"]
    listed = {name.strip("() ") for line in layers["layers"] for name in line.replace(":", "|").split("|")}
    assert layers["exhaustive"]
    assert {name.split(".")[1] for name in modules_on_disk if "." in name} - listed <= {"__main__"}


def imported_packages(file: Path) -> set[str]:
    """Top-level packages that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_every_imported_package_is_declared(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    declared = {canonicalize_name(Requirement(text).name) for text in [*project["dependencies"], *extras]}
    distributions = packages_distributions()
    files = list((root / "src/nin_exp").rglob("*.py"))
    imported = {name for file in files for name in imported_packages(file)} - sys.stdlib_module_names - {"nin_exp"}
    undeclared = {
        name
        for name in imported
        if not {canonicalize_name(d) for d in distributions.get(name, [name.replace("_", "-")])} & declared
    }
    assert len(imported) > 15
    assert undeclared == set(COME_WITH)
    for name, other in COME_WITH.items():
        assert canonicalize_name(other) in declared
        assert name in {canonicalize_name(Requirement(text).name) for text in requires(other) or []}
