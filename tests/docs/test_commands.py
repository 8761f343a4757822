"""Every command in the README and the docs is run, with fewer steps and seeds."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").rglob("*.md"))]
# Run by .ci/run as they stand; here they would install and test themselves again.
BY_CI = ("scripts/quickstart", "scripts/test", "bash scripts/setup.sh", ".ci/run")
SHORTER = {
    "train": ["trainer.max_steps=2", "seeds=1"],
    "compare": ["trainer.max_steps=2", "seeds=2", "dataset.train_limit=200"],
}
REAL_DATA = ("mnist", "cifar", "svhn", "flowers", "$NIN_EXP_DATA", "DIR")


def commands() -> list[tuple[str, str]]:
    """(page, command) for every line of every sh block."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
            joined = block.replace("\\\n", " ")
            found += [(page.relative_to(REPO).as_posix(), line.strip()) for line in joined.splitlines() if line.strip()]
    return [(page, re.sub(r"\s+#.*$", "", line)) for page, line in found if not line.startswith("#")]


OURS = [(page, line) for page, line in commands() if line.startswith("nin-exp ")]


def test_there_are_commands_and_each_is_of_a_known_kind() -> None:
    assert len(OURS) >= 8
    others = [line for _, line in commands() if not line.startswith(("nin-exp ", "python benchmarks/", *BY_CI))]
    known = ("git clone", "cd ", "pip install", "uv pip compile", ".venv/bin/", "pre-commit", "wandb ", "tensorboard ")
    unknown = [line for line in others if not line.startswith(known)]
    assert unknown == []


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), OURS, ids=[f"{page}: {line}" for page, line in OURS])
def test_command(page: str, line: str, tmp_path: Path) -> None:
    data = os.environ.get("NIN_EXP_DATA", "")
    if any(word in line for word in REAL_DATA) and " data list" not in line:
        if not data:
            pytest.skip("real images: set NIN_EXP_DATA")
        line = line.replace("data_dir=DIR", f"data_dir={data}").replace("$NIN_EXP_DATA", data)
    words = shlex.split(line)[1:]
    words += SHORTER.get(words[0], []) if "--cfg" not in words else []
    done = subprocess.run(
        [sys.executable, "-m", "nin_exp", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO / "src")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_throughput_benchmark_runs() -> None:
    data = os.environ.get("NIN_EXP_DATA", "")
    if not data:
        pytest.skip("real images: set NIN_EXP_DATA")
    arguments = ["--data-dir", data, "--blocks", "1", "--steps", "12"]
    done = subprocess.run(
        [sys.executable, str(REPO / "benchmarks" / "throughput.py"), *arguments],
        capture_output=True, text=True, timeout=840, check=False,
        env={**os.environ, "PYTHONPATH": str(REPO / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "median ratio" in done.stdout
