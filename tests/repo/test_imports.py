"""The import contracts see the whole package: a module that the linter cannot see obeys no contract."""

from __future__ import annotations

import tomllib

import grimp
import pytest


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
