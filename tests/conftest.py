"""What all tests share: no network, no user's settings, and a place for runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Before any test imports them: trackers and font caches must not look for a network or a home.
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.pop("WANDB_API_KEY", None)

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with an empty data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIN_EXP_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def real_data() -> Path:
    """The folder with expanded real images."""
    folder = os.environ.get("NIN_EXP_DATA", "")
    if not folder or not (Path(folder) / "mnist.npz").is_file():
        pytest.skip(
            "real images: set NIN_EXP_DATA to a folder with mnist.npz, fashion_mnist.npz, cifar10.npz, svhn.npz"
        )
    return Path(folder)


CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def nin_exp(tmp_path: Path) -> CommandLine:
    """Run ``nin-exp`` in a fresh process, in an empty working directory."""

    def run(*arguments: str, timeout: float = 240, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nin_exp", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPO / "src"), **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
