"""scripts/setup.sh through scripts/quickstart: which Python is taken, what is installed, and when."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

STAMP = ".venv/nin-exp-stamp"
FIRST_RUN = [
    "venv 3.12",
    "pip --require-hashes -r .venv/setuptools.lock",
    "pip --require-hashes --no-build-isolation -r requirements/run.lock",
    "pip --no-deps --no-build-isolation --editable .",
]


def one_error(result, code: int = 2) -> str:
    assert result.returncode == code, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("nin-exp: error: ")
    return lines[0].removeprefix("nin-exp: error: ")


@pytest.fixture
def installed(checkout):
    checkout.add_python("python3", "3.12")
    assert checkout.run("scripts/quickstart").returncode == 0
    checkout.forget()
    return checkout


@pytest.mark.parametrize("script", ["scripts/quickstart", "scripts/test"])
@pytest.mark.parametrize("version", ["3.14", "3.10", "3.9"])
def test_python_out_of_range(checkout, script, version):
    for name in ("python3", f"python{version}", "python"):
        checkout.add_python(name, version)
    where = checkout.folder.parent / "bin/python3"
    expected = (
        f"Python must be 3.11, 3.12 or 3.13, found {version} ({where}) on PATH; install python3.12 and run this again"
    )
    assert one_error(checkout.run(script)) == expected
    assert not (checkout.folder / ".venv").exists()
    assert checkout.noted() == []


def test_no_python(checkout):
    assert "found no Python 3 on PATH" in one_error(checkout.run("scripts/quickstart"))


def test_python_without_venv_names_the_package(checkout):
    checkout.add_python("python3", "3.11", venv=False)
    expected = "Python 3.11 must come with venv and ensurepip, and does not; install them: apt install python3.11-venv"
    assert one_error(checkout.run("scripts/test")) == expected


@pytest.mark.parametrize(
    ("pythons", "taken"),
    [
        pytest.param([("python3", "3.11", "a"), ("python3.13", "3.13", "a")], "3.11", id="python3-first"),
        pytest.param([("python3", "3.9", "a"), ("python3.12", "3.12", "b")], "3.12", id="old-then-named"),
        pytest.param([("python3", "3.9", "a"), ("python3", "3.13", "b")], "3.13", id="old-then-same-name"),
        pytest.param([("python3", "3.14", "a"), ("python3.11", "3.11", "a")], "3.11", id="too-new"),
        pytest.param([("python3.13", "broken", "a"), ("python3.12", "3.12", "a")], "3.12", id="shim-that-fails"),
        pytest.param([("python", "3.12", "a")], "3.12", id="plain-python"),
    ],
)
def test_python_taken(checkout, pythons, taken):
    for name, version, folder in pythons:
        checkout.add_python(name, version, folder=folder)
    assert checkout.run("scripts/quickstart").returncode == 0
    assert checkout.noted("venv") == [f"venv {taken}"]


def test_first_run_installs_and_the_next_starts_at_once(checkout):
    checkout.add_python("python3", "3.12")
    result = checkout.run("scripts/quickstart", "seeds=2", "note=two words")
    assert result.stdout == (
        f"[compare][experiment=quickstart][study=quickstart][seeds=2][note=two words]{checkout.folder}\n"
    )
    assert len(result.stderr.splitlines()) == 1
    assert "installing requirements/run.lock into .venv" in result.stderr
    assert [line for line in checkout.noted() if not line.startswith("PIP_")] == FIRST_RUN
    setuptools_lock = (checkout.folder / ".venv/setuptools.lock").read_text()
    assert "setuptools==84.2.1" in setuptools_lock
    assert "torch" not in setuptools_lock.replace("via torch", "")
    checkout.forget()
    again = checkout.run("scripts/quickstart")
    assert (again.returncode, again.stderr, checkout.noted()) == (0, "", [])


@pytest.mark.parametrize("failing", ["setuptools.lock", "run.lock", "--editable"])
def test_failed_installation_is_repaired_by_the_next_run(checkout, failing):
    checkout.add_python("python3", "3.12")
    result = checkout.run("scripts/quickstart", FAKE_PIP_FAILS_AT=failing)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "ERROR: no such package" in result.stderr
    assert "requirements/run.lock must be installed into .venv, and pip failed" in result.stderr.splitlines()[-1]
    assert not (checkout.folder / STAMP).exists()
    checkout.forget()
    assert checkout.run("scripts/quickstart").returncode == 0
    assert checkout.noted("pip")[-1] == FIRST_RUN[-1]
    assert checkout.noted("venv") == []  # what had been installed stays
    assert (checkout.folder / STAMP).exists()


def test_half_installed_wheels_are_dropped(installed):
    packages = installed.folder / ".venv/lib/python3.12/site-packages"
    for name in ("whole-1.dist-info", "half-1.dist-info", "~stash"):
        (packages / name).mkdir()
        (packages / name / "METADATA").touch()
    (packages / "whole-1.dist-info/RECORD").touch()
    (installed.folder / STAMP).unlink()
    assert installed.run("scripts/quickstart").returncode == 0
    assert [p.name for p in packages.iterdir()] == ["whole-1.dist-info"]


@pytest.mark.parametrize("name", ["requirements/run.lock", "pyproject.toml"])
def test_changed_requirements_are_installed(installed, name):
    with (installed.folder / name).open("a") as file:
        file.write("# changed\n")
    assert installed.run("scripts/quickstart").returncode == 0
    assert [line for line in installed.noted() if not line.startswith("PIP_")] == FIRST_RUN[1:]


def test_dev_holds_run_and_not_the_other_way_round(installed):
    assert installed.run("scripts/test", "-x").returncode == 0
    assert "pip --require-hashes --no-build-isolation -r requirements/dev.lock" in installed.noted("pip")
    installed.forget()
    assert installed.run("scripts/quickstart").returncode == 0
    assert installed.run("scripts/test", "-x").returncode == 0
    assert installed.noted("pip") == []


def test_moved_checkout_is_installed_again(installed):
    moved = installed.folder.with_name("moved")
    shutil.move(installed.folder, moved)
    installed.folder = moved
    assert str(moved) in installed.run("scripts/quickstart").stdout
    assert installed.noted("pip")[-1] == FIRST_RUN[-1]


def test_venv_of_a_wrong_version_is_remade(installed):
    python = installed.folder / ".venv/bin/python"
    installed.write_program(python, python.read_text().replace("3.12 cpython", "3.9 cpython"))
    (installed.folder / STAMP).unlink()
    result = installed.run("scripts/quickstart")
    assert "nin-exp: remaking .venv: its Python is 3.9 cpython" in result.stderr
    assert installed.noted("venv") == ["venv 3.12"]


def test_venv_whose_python_is_gone_is_remade(installed):
    python = installed.folder / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nonexistent/python3.12")
    result = installed.run("scripts/quickstart")
    assert "nin-exp: remaking .venv: its Python does not run" in result.stderr
    assert result.returncode == 0


def test_folder_that_is_no_venv_is_left_alone(checkout):
    checkout.add_python("python3", "3.12")
    mine = checkout.folder / ".venv/notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert "must be a virtual environment, and is something else" in one_error(checkout.run("scripts/quickstart"))
    assert mine.read_text() == "mine"


def test_surrounding_settings_do_not_reach_pip(checkout):
    checkout.add_python("python3", "3.12")
    checkout.run(
        "scripts/quickstart",
        PIP_TARGET="/nonexistent",
        PYTHONPATH="/nonexistent",
        VIRTUAL_ENV="/nonexistent",
        PIP_INDEX_URL="https://mirror.example/simple",
    )
    settings = checkout.noted("PIP_TARGET")
    assert len(settings) == 3
    assert set(settings) == {"PIP_TARGET=unset PIP_INDEX_URL=https://mirror.example/simple PYTHONPATH=unset"}


def test_works_from_anywhere_and_through_a_link(installed, tmp_path: Path):
    link = tmp_path / "go"
    link.symlink_to(os.path.relpath(installed.folder / "scripts/quickstart", tmp_path))
    result = installed.run(str(link), cwd=tmp_path)
    assert result.stdout.endswith(f"{installed.folder}\n")


def test_exit_code_is_that_of_the_comparison(checkout):
    checkout.add_python("python3", "3.12")
    assert checkout.run("scripts/quickstart", FAKE_EXIT="9").returncode == 9


@pytest.mark.parametrize("script", ["scripts/quickstart", "scripts/test"])
def test_help_installs_nothing(checkout, script):
    result = checkout.run(script, "--help")
    assert result.stdout.startswith(f"Usage: {script}")
    assert (result.returncode, checkout.noted()) == (0, [])
