"""The locks against what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nin_exp

ENTRY = re.compile(r"^(?P<requirement>[A-Za-z0-9][^\\]*?)\s*\\?$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?P<more> \\)?$")
PYTHONS = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def project(root) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())


def read_lock(file: Path) -> dict[str, list[Requirement]]:
    """Map each package to its entries (more than one where a version belongs to a marker)."""
    entries: dict[str, list[Requirement]] = {}
    for line in file.read_text().splitlines():
        match = ENTRY.match(line)
        if match:
            requirement = Requirement(match["requirement"])
            entries.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return entries


def read_requirements(file: Path) -> dict[str, Requirement]:
    lines = (line.split("#")[0].strip() for line in file.read_text().splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(r.name): r for r in found}


def applies(requirement: Requirement, python: str) -> bool:
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.5"}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def version_of(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", f"{requirement} is not pinned"
    return specifier.version


@pytest.fixture(scope="module", params=["run", "dev"])
def lock(request, root) -> dict[str, list[Requirement]]:
    return read_lock(root / f"requirements/{request.param}.lock")


def test_version_stands_the_same_in_package_and_project(project):
    assert nin_exp.__version__ == project["project"]["version"]


@pytest.mark.parametrize("name", ["run", "dev"])
def test_every_entry_has_hashes(root, name):
    lines = (root / f"requirements/{name}.lock").read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    bare = [
        line
        for line, following in zip(code, [*code[1:], ""], strict=True)
        if not HASH.match(line) and not (line.endswith(" \\") and HASH.match(following))
    ]
    assert len(code) > 500
    assert bare == []


@pytest.mark.parametrize("python", PYTHONS)
def test_one_version_of_each_package(lock, python):
    twice = {n: [str(r) for r in rs] for n, rs in lock.items() if sum(applies(r, python) for r in rs) > 1}
    assert twice == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_the_project(lock, project, python):
    needed = [Requirement(line) for line in project["project"]["dependencies"]]
    needed += [Requirement(line) for line in project["build-system"]["requires"]]
    assert len(needed) > 10
    for requirement in needed:
        pinned = [r for r in lock[canonicalize_name(requirement.name)] if applies(r, python)]
        assert len(pinned) == 1, requirement
        assert requirement.specifier.contains(version_of(pinned[0]), prereleases=True), requirement


def test_setuptools_is_locked_to_build_source_distributions(lock):
    assert "setuptools" in lock


def test_no_malicious_package_is_locked(lock):
    assert "lightning" not in lock
    assert "pytorch-lightning" in lock


def test_dev_holds_run(root):
    run, dev = (read_lock(root / f"requirements/{name}.lock") for name in ("run", "dev"))
    assert {n: [str(r) for r in rs] for n, rs in run.items()} == {
        n: [str(r) for r in rs] for n, rs in dev.items() if n in run
    }


def test_run_in_repeats_the_project(root, project):
    given = read_requirements(root / "requirements/run.in")
    for line in project["project"]["dependencies"] + project["build-system"]["requires"]:
        requirement = Requirement(line)
        assert given[canonicalize_name(requirement.name)].specifier == requirement.specifier, requirement


@pytest.mark.parametrize(("source", "name"), [("run.in", "run"), ("dev.in", "dev")])
def test_lock_satisfies_what_was_asked_for(root, source, name):
    locked = read_lock(root / f"requirements/{name}.lock")
    for package, requirement in read_requirements(root / "requirements" / source).items():
        assert all(requirement.specifier.contains(version_of(r)) for r in locked[package]), requirement
