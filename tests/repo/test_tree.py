"""The shape of the source tree: sizes, names, packages."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 40
MAX_YAML_LINES = 30
DRAWERS = {"util", "utils", "helper", "helpers", "manager", "managers", "base"}


@pytest.fixture(scope="module")
def source_files(root) -> list[Path]:
    return sorted((root / "src/nin_exp").rglob("*.py"))


def num_lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    assert function.end_lineno is not None
    total = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is None or first.end_lineno is None:
        return total
    return total - (first.end_lineno - first.lineno + 1)


def test_source_files_are_short(repo_files, root):
    python = [p for p in repo_files if p.suffix == ".py"]
    assert len(python) > 20
    assert {str(p.relative_to(root)): n for p in python if (n := num_lines(p)) > MAX_FILE_LINES} == {}


def test_functions_are_short(source_files, root):
    long = {
        f"{file.relative_to(root)}:{node.lineno} {node.name}": code_lines(node)
        for file in source_files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_function_length_leaves_out_the_docstring():
    (function,) = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    return 1\n').body
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(function) == 2


def test_choices_are_short(root):
    """Comments aside. The top file is no choice: it lists the fixed fields and the groups."""
    files = sorted((root / "conf").glob("*/**/*.yaml"))
    settings = {p: [s for line in p.read_text().splitlines() if (s := line.strip()) and s[0] != "#"] for p in files}
    assert len(files) > 10
    assert {str(p.relative_to(root)): len(s) for p, s in settings.items() if len(s) > MAX_YAML_LINES} == {}
    assert list((root / "conf").rglob("*.yml")) == []


def test_no_file_is_a_drawer(repo_files, root):
    assert [str(p.relative_to(root)) for p in repo_files if p.stem.lower() in DRAWERS] == []
    folders = {folder for p in repo_files for folder in p.relative_to(root).parts[:-1]}
    assert DRAWERS & folders == set()


def test_every_package_has_an_init(source_files, root):
    folders = {file.parent for file in source_files}
    assert len(folders) > 5
    assert [str(f.relative_to(root)) for f in sorted(folders) if not (f / "__init__.py").is_file()] == []


def test_inits_of_subpackages_are_empty(source_files, root):
    inits = [p for p in source_files if p.name == "__init__.py" and p.parent != root / "src/nin_exp"]
    assert [str(p.relative_to(root)) for p in inits if p.read_text().strip()] == []


def test_test_files_have_names_of_their_own(root):
    names = [p.name for p in (root / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
    assert list((root / "tests").rglob("__init__.py")) == []


def test_git_ignores_no_source(root):
    if not (root / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs a git checkout")
    files = [p for folder in ("src", "conf", "tests", "scripts", "docs") for p in (root / folder).rglob("*")]
    names = [str(p.relative_to(root)) for p in files if p.is_file() and "__pycache__" not in p.parts]
    command = ["git", "check-ignore", "--stdin"]
    ignored = subprocess.run(command, cwd=root, input="\n".join(names), capture_output=True, text=True)
    assert ignored.stdout.splitlines() == []
