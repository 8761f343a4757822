"""A run trained once, by the command line, and copies of it to use and to damage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nin_exp.data.sources.digits import read_digits
from nin_exp.inference.run import TrainedRun, load_run

REPO = Path(__file__).resolve().parents[2]
TINY = ["dataset=digits", "backbone=nin_bn", "backbone.width=0.1", "trainer.max_epochs=2", "trainer.threads=1"]


def train(folder: Path, *overrides: str) -> Path:
    """Train a tiny run below a folder; returns its directory."""
    done = subprocess.run(
        [sys.executable, "-m", "nin_exp", "train", *TINY, "study=tiny", *overrides],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPO / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (record,) = folder.glob("runs/tiny/*/record.json")
    return record.parent


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with a GAP head; not to be written to."""
    return train(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def run(trained: Path) -> TrainedRun:
    """The trained run, its network loaded once."""
    return load_run(trained, device="cpu")


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run directory, below ``runs`` of an empty folder."""
    target = tmp_path / "runs" / "tiny" / trained.name
    shutil.copytree(trained, target)
    return target


@pytest.fixture(scope="session")
def test_images() -> npt.NDArray[np.uint8]:
    """The data set's test images, uint8 ``(N, 8, 8)``, in the split's order."""
    digits = read_digits()
    return digits.images[digits.is_test]


@pytest.fixture(scope="session")
def test_logits(trained: Path) -> npt.NDArray[np.float32]:
    """What the run said of the test images when it was trained."""
    with np.load(trained / "predictions.npz") as file:
        logits: npt.NDArray[np.float32] = file["test_logits"]
    return logits


@pytest.fixture(scope="session")
def find_real_data() -> Path | None:
    """The folder with real images, where it is."""
    folder = os.environ.get("NIN_EXP_DATA", "")
    return Path(folder) if folder and (Path(folder) / "cifar10.npz").is_file() else None


SavePngs = Callable[[npt.NDArray[np.uint8], Path], list[Path]]


@pytest.fixture
def save_pngs() -> SavePngs:
    """Write arrays as PNG files; returns their paths."""
    from PIL import Image

    def save(images: npt.NDArray[np.uint8], folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{number:04d}.png" for number in range(len(images))]
        for image, path in zip(images, paths, strict=True):
            Image.fromarray(image).save(path)
        return paths

    return save
