"""Every choice on disk, found by glob, and the classes that the choices name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, Head, Network

CONF = Path(__file__).parents[2] / "conf"
GROUPS = ("backbone", "head", "optimizer", "schedule")
OPTIONAL_PACKAGES = ("timm",)


def choice_names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def read_choice(group: str, name: str) -> tuple[type[Any], dict[str, Any]]:
    """The class that a YAML names, and the arguments it lists."""
    arguments = yaml.safe_load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"))
    module, _, class_name = arguments.pop("_target_").rpartition(".")
    return getattr(importlib.import_module(module), class_name), arguments


def build_choice(group: str, name: str, /, *positional: object, **overrides: object) -> Any:
    target, arguments = read_choice(group, name)
    unknown = set(overrides) - set(arguments)
    assert not unknown, f"{group}/{name} has no {unknown}"
    return target(*positional, **{**arguments, **overrides})


def build_network(
    backbone: str | Backbone, head: str, in_spec: ImageSpec, num_classes: int = 10, **overrides: object
) -> Network:
    """A backbone (by name, or built) with a head by name."""
    trunk: Backbone = build_choice("backbone", backbone, in_spec) if isinstance(backbone, str) else backbone
    top: Head = build_choice("head", head, trunk.out_spec(in_spec), num_classes, trunk.class_map_block, **overrides)
    return Network(trunk, top)


def _parameter(group: str, name: str) -> Any:
    """A choice; one that needs an optional package is slow (its import alone) and skipped where that is missing."""
    target = yaml.safe_load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"))["_target_"]
    package = target.split(".")[2]  # backbones/timm.py wraps the package of that name
    if package not in OPTIONAL_PACKAGES:
        return name
    missing = importlib.util.find_spec(package) is None
    return pytest.param(
        name, marks=[pytest.mark.slow, pytest.mark.skipif(missing, reason=f"the extra {package} is not installed")]
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for group in GROUPS:
        if f"{group}_name" in metafunc.fixturenames:
            metafunc.parametrize(f"{group}_name", [_parameter(group, name) for name in choice_names(group)])


@pytest.fixture
def choices() -> Callable[[str], list[str]]:
    return choice_names


@pytest.fixture
def read() -> Callable[[str, str], tuple[type[Any], dict[str, Any]]]:
    return read_choice


@pytest.fixture
def choose() -> Callable[..., Any]:
    return build_choice


@pytest.fixture
def network_of() -> Callable[..., Network]:
    return build_network


@pytest.fixture
def count_on_meta() -> Callable[..., int]:
    """Parameters of a backbone with a head, without memory for them."""

    def count(backbone: str, head: str, in_spec: ImageSpec, num_classes: int, **overrides: object) -> int:
        with torch.device("meta"):
            network = build_network(backbone, head, in_spec, num_classes, **overrides)
        return sum(parameter.numel() for parameter in network.parameters())

    return count


@pytest.fixture
def classes_in() -> Callable[[str, type[Any]], dict[str, list[type[Any]]]]:
    """File name -> the concrete classes of a contract that it defines."""

    def find(package: str, contract: type[Any]) -> dict[str, list[type[Any]]]:
        folder = Path(importlib.import_module(package).__path__[0])
        found = {}
        for path in sorted(folder.glob("*.py")):
            module = importlib.import_module(f"{package}.{path.stem}") if path.stem != "__init__" else None
            members = vars(module).values() if module is not None else ()
            found[path.name] = [
                member
                for member in members
                if inspect.isclass(member)
                and issubclass(member, contract)
                and not inspect.isabstract(member)
                and module is not None
                and member.__module__ == module.__name__
            ]
        return found

    return find
