"""The wheel holds everything that an installed nin-exp needs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory) -> zipfile.ZipFile:
    """Built without network by the back end that pip would call."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (file,) = folder.glob("nin_exp-*-py3-none-any.whl")
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_configuration_is_that_of_the_checkout(unpacked, root):
    shipped = contents(unpacked / "nin_exp/conf")
    assert sum(name.endswith(".yaml") for name in shipped) > 10
    assert shipped == contents(root / "conf")


def test_package_and_its_data_are_those_of_the_checkout(unpacked, root):
    shipped = {n: data for n, data in contents(unpacked / "nin_exp").items() if not n.startswith("conf/")}
    assert "py.typed" in shipped
    assert shipped == contents(root / "src/nin_exp")


def test_nothing_else_is_installed(wheel):
    places = {name.split("/")[0] for name in wheel.namelist()}
    assert places == {"nin_exp", next(p for p in places if p.endswith(".dist-info"))}
    assert not [name for name in wheel.namelist() if name.endswith((".pyc", ".ckpt", ".npz"))]


def test_metadata(wheel):
    (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    metadata = wheel.read(name).decode()
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "\nLicense-Expression: MIT\n" in metadata
    entry_points = wheel.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert "nin-exp = nin_exp.cli.main:main" in entry_points


def test_installed_command_works_without_a_checkout(unpacked, tmp_path):
    program = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r}); import nin_exp\n"
        f"assert nin_exp.__file__.startswith({str(unpacked)!r}), nin_exp.__file__\n"
        "from nin_exp.cli.main import main\n"
        "sys.argv = ['nin-exp', 'compare', 'experiment=quickstart', 'study=quickstart', '--dry-run']\n"
        "sys.exit(main())"
    )
    result = subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "gap" in result.stdout
    assert "fc" in result.stdout
