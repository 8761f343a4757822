"""Every shell script parses, and can be started."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def is_shell(file) -> bool:
    with file.open("rb") as stream:
        first = stream.readline()
    return file.suffix == ".sh" or (first.startswith(b"#!") and first.rstrip().endswith((b"sh", b"bash")))


def test_shell_scripts_parse(repo_files, root):
    scripts = [p for p in repo_files if is_shell(p)]
    assert {"quickstart", "test", "setup.sh", "run"} <= {p.name for p in scripts}
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    for script in scripts:
        parsed = subprocess.run([bash, "-n", str(script)], capture_output=True, text=True)
        assert (parsed.returncode, parsed.stderr) == (0, ""), script


@pytest.mark.parametrize("name", ["scripts/quickstart", "scripts/test", ".ci/run"])
def test_commands_are_executable(root, name):
    assert os.access(root / name, os.X_OK)
    assert (root / name).read_text().startswith("#!/usr/bin/env bash\n")
