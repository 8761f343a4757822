"""What must answer at once never imports torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nin_exp.cli.complete import candidates
from nin_exp.cli.main import VERBS

REPO = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "torchvision", "pytorch_lightning", "wandb", "sklearn")
COMMANDS = [
    ["--help"],
    ["--version"],
    ["train", "--help"],
    ["train", "--cfg", "job"],
    ["train", "--cfg", "job", "--resolve"],
    ["train", "--dry-run"],
    ["compare", "head=gap,fc", "seeds=3", "--dry-run"],
    ["train", "-m", "sweep=pooling", "--dry-run"],
    ["tune", "--help"],
    ["tune", "--cfg", "job"],
    ["best", "--help"],
    ["diff", "--help"],
    ["cancel", "--help"],
    ["report", "--help"],
    ["ls"],
    ["completion", "bash"],
    ["__complete", "nin-exp train hea"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_heavy_import(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from nin_exp.cli.main import main; code = main(sys.argv[1:]);"
        f"heavy = [m for m in {HEAVY} if m in sys.modules]; assert not heavy, heavy; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nin-exp tra", ["train"]),
        ("nin-exp train head=fl", ["head=flatten_linear"]),
        ("nin-exp train head=gap,fc", ["head=gap,fc", "head=gap,fc_dropout"]),
        ("nin-exp train trainer.max_", ["trainer.max_epochs=", "trainer.max_steps="]),
        ("nin-exp train optimizer=adam optimizer.bet", ["optimizer.beta1=", "optimizer.beta2="]),
        ("nin-exp compare --dry", ["--dry-run"]),
        ("nin-exp completion z", ["zsh"]),
        ("nin-exp be", ["bench", "best"] if "bench" in VERBS else ["best"]),
        ("nin-exp can", ["cancel"]),
        ("nin-exp train sweep=op", ["sweep=optimizers"]),
        ("nin-exp train --fr", ["--from"]),
        ("nin-exp train -m --max", ["--max-failures"]),
        ("nin-exp compare --tu", ["--tuned"]),
        ("nin-exp tune tune.pr", ["tune.pruner="]),
        ("nin-exp tune --st", []),
        ("nin-exp best --sel", ["--select-on-test"]),
        ("nin-exp nothing x", []),
    ],
)
def test_candidates(line: str, expected: list[str]) -> None:
    assert candidates(line) == expected


def test_bash_completes(tmp_path: Path) -> None:
    """The real shell, with the real script."""
    script = subprocess.run(
        [sys.executable, "-m", "nin_exp", "completion", "bash"],
        env={**os.environ, "PYTHONPATH": str(REPO / "src")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    wrapper = tmp_path / "nin-exp"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH="{REPO / "src"}" exec "{sys.executable}" -m nin_exp "$@"\n')
    wrapper.chmod(0o755)
    lines = [
        script,
        'COMP_LINE="nin-exp train head=ga"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(nin-exp train head = ga)',
        "COMP_CWORD=4; compopt() { :; }; _nin_exp; printf '%s\\n' \"${COMPREPLY[@]}\"",
    ]
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["gap", "gap_linear"]
