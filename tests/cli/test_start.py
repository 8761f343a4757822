"""What must answer at once never imports torch."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nin_exp.cli.main import VERBS, bound_spinning

REPO = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "torchvision", "pytorch_lightning", "wandb", "sklearn")
COMMANDS = [
    ["--help"],
    ["--version"],
    *([verb, "--help"] for verb in VERBS),
    ["train", "--cfg", "job"],
    ["train", "--cfg", "job", "--resolve"],
    ["train", "--dry-run"],
    ["compare", "head=gap,fc", "seeds=3", "--dry-run"],
    ["train", "-m", "sweep=pooling", "--dry-run"],
    ["tune", "--cfg", "job"],
    ["ls"],
    ["completion", "bash"],
    ["__complete", "nin-exp train hea"],
    ["__complete", "nin-exp explain --"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_heavy_import(arguments: list[str], python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    code = (
        "import sys; from nin_exp.cli.main import main; code = main(sys.argv[1:]);"
        f"heavy = [m for m in {HEAVY} if m in sys.modules]; assert not heavy, heavy; sys.exit(code)"
    )
    done = python("-c", code, *arguments, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None),
    ],
)
def test_threads_that_wait_soon_sleep(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: str | None
) -> None:
    """Set before torch is imported, as libgomp reads it then; a user's own choice stands."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    bound_spinning()
    assert os.environ.get("GOMP_SPINCOUNT") == expected
