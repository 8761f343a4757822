"""Every YAML in conf/: found by itself, composed, and held to the signature of the class it names."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import NOT_GROUPS, list_groups, shipped_config_dir
from nin_exp.compose.signature import BUILD_TIME, read_signature

ROOT = shipped_config_dir()
FILES = sorted(f for f in ROOT.rglob("*.yaml") if f.parent.name not in NOT_GROUPS)
OPTIONS = sorted((group, option) for group, options in list_groups((ROOT,)).items() for option in options)
# These have no data of their own: they take dataset.source.
NEEDS_SOURCE = {"arrays", "imagefolder"}


def test_every_file_is_an_option() -> None:
    on_disk = [f for f in FILES if f.name != "config.yaml" or f.parent != ROOT]
    assert len(OPTIONS) == len(on_disk) > 30


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_file_says_what_it_is(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# "), "a header that says what and where from"


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer((ROOT,))


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda v: str(v))
def test_option_composes(composer: Composer, group: str, option: str) -> None:
    extra = [("dataset.source", "somewhere")] if option in NEEDS_SOURCE else []
    if option == "imagefolder":
        extra.append(("dataset.image_size", "32"))
    config = composer.compose([(group, option), *extra])
    if group not in ("experiment", "debug"):
        assert config.choices[group] == option


def _targets(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        own = [node] if "_target_" in node else []
        return own + [t for v in node.values() for t in _targets(v)]
    return [t for v in node for t in _targets(v)] if isinstance(node, list) else []


def _all_targets() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in FILES:
        for node in _targets(yaml.safe_load(path.read_text(encoding="utf-8"))):
            found.append((path.relative_to(ROOT).as_posix(), node))
    return found


@pytest.mark.parametrize(("file", "node"), _all_targets(), ids=lambda v: v if isinstance(v, str) else "")
def test_the_source_reader_agrees_with_python(file: str, node: dict[str, Any]) -> None:
    """The torch-free reader of signatures finds the arguments that Python finds."""
    module, _, name = node["_target_"].rpartition(".")
    target = getattr(importlib.import_module(module), name)
    parameters = {n for n in inspect.signature(target).parameters if n not in BUILD_TIME}
    assert set(read_signature(node["_target_"])) == parameters
    assert {k for k in node if k != "_target_"} == parameters, f"{file} must list every argument"


def test_every_argument_has_a_type_that_is_checked() -> None:
    """What the source reader does not understand becomes Any, which takes every value."""
    targets = {node["_target_"] for _, node in _all_targets()}
    unchecked = {f"{t}.{name}" for t in targets for name, kind in read_signature(t).items() if kind is Any}
    assert len(targets) > 30
    assert unchecked == set()


def test_no_argument_has_a_second_default() -> None:
    """Every default stands once, in the YAML."""
    for file, node in _all_targets():
        module, _, name = node["_target_"].rpartition(".")
        target = getattr(importlib.import_module(module), name)
        for parameter in inspect.signature(target).parameters.values():
            if parameter.name not in BUILD_TIME:
                assert parameter.default is inspect.Parameter.empty, f"{file}: {parameter.name}"
