"""The panel's images are kept once, and are those of the test split."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from nin_exp.contracts.data import ImageArrays
from nin_exp.data.prepare import PreparedData
from nin_exp.train.panel import LARGEST_SIDE, write_panel


def data_of(images: np.ndarray, labels: np.ndarray) -> PreparedData:
    return cast(PreparedData, SimpleNamespace(test=ImageArrays(images, labels), fingerprint="abcdef0123456789" * 4))


def read(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def test_written_once_for_all_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = data_of(rng.integers(0, 256, (50, 8, 9, 3), dtype=np.uint8), np.arange(50) % 4)
    write_panel(tmp_path / "study" / "run1", data, 10)
    (path,) = (tmp_path / "study" / "panels").iterdir()
    assert path.name.startswith("abcdef0123456789-")
    before = path.stat().st_mtime_ns
    write_panel(tmp_path / "study" / "run2", data, 10)
    assert [p.stat().st_mtime_ns for p in path.parent.iterdir()] == [before]
    kept = read(path)
    assert kept["indices"].tolist() == list(range(0, 50, 5))
    assert (kept["images"] == data.test.images[kept["indices"]]).all()
    assert (kept["labels"] == data.test.labels[kept["indices"]]).all()
    write_panel(tmp_path / "study" / "run3", data, 7)  # another panel does not replace the first
    assert len(list(path.parent.iterdir())) == 2


def test_no_panel_no_file(tmp_path: Path) -> None:
    write_panel(tmp_path / "study" / "run", data_of(np.zeros((5, 4, 4, 1), dtype=np.uint8), np.zeros(5, int)), 0)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_are_shrunk(tmp_path: Path, channels: int) -> None:
    images = np.full((4, 100, 200, channels), 7, dtype=np.uint8)
    write_panel(tmp_path / "study" / "run", data_of(images, np.arange(4)), 4)
    (path,) = (tmp_path / "study" / "panels").iterdir()
    kept = read(path)["images"]
    assert kept.shape == (4, LARGEST_SIDE // 2, LARGEST_SIDE, channels)
    assert (kept == 7).all()
