"""Small data sets in the real formats."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nin_exp.contracts.data import ImageArrays, LoadedData

COMMON: dict[str, Any] = {
    "source": None,
    "image_size": None,
    "val_fraction": 0.25,
    "preprocess": "standardize",
    "train_fraction": 1.0,
    "train_limit": None,
}


@pytest.fixture
def common() -> dict[str, Any]:
    """The arguments that every data source takes."""
    return dict(COMMON)


def random_images(count: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.fixture(scope="session")
def images() -> Callable[..., np.ndarray]:
    """random_images(count, shape, seed)."""
    return random_images


@pytest.fixture(scope="session")
def make_loaded() -> Callable[..., LoadedData]:
    def make(
        num_train: int = 40, num_test: int = 10, shape: tuple[int, ...] = (8, 8, 3), classes: int = 4
    ) -> LoadedData:
        parts = [
            ImageArrays(random_images(n, shape, seed), np.arange(n, dtype=np.int64) % classes)
            for n, seed in ((num_train, 1), (num_test, 2))
        ]
        return LoadedData(parts[0], parts[1], tuple(f"class {k}" for k in range(classes)))

    return make


@pytest.fixture(scope="session")
def write_idx() -> Callable[..., dict[str, np.ndarray]]:
    """Write torchvision's MNIST layout; returns the arrays that are in it."""

    def write(raw: Path, *, zipped: bool = False, num_train: int = 12, num_test: int = 6) -> dict[str, np.ndarray]:
        raw.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for prefix, count, seed in (("train", num_train, 3), ("t10k", num_test, 4)):
            arrays[f"{prefix}-images-idx3-ubyte"] = random_images(count, (5, 7), seed)
            arrays[f"{prefix}-labels-idx1-ubyte"] = (np.arange(count) % 3).astype(np.uint8)
        for name, array in arrays.items():
            header = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            content = header + array.tobytes()
            if zipped:
                (raw / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (raw / name).write_bytes(content)
        return arrays

    return write


@pytest.fixture(scope="session")
def write_cifar() -> Callable[..., dict[str, tuple[np.ndarray, list[int]]]]:
    """Write torchvision's CIFAR-10 or CIFAR-100 layout; returns (NHWC images, labels) of each batch."""

    def write(folder: Path, *, fine: bool = False, per_batch: int = 4) -> dict[str, tuple[np.ndarray, list[int]]]:
        folder.mkdir(parents=True, exist_ok=True)
        names = ["train", "test"] if fine else [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
        batches = {}
        for seed, name in enumerate(names):
            pictures = random_images(per_batch, (32, 32, 3), seed)
            labels = [(seed + i) % 10 for i in range(per_batch)]
            batches[name] = (pictures, labels)
            # One row: 1024 red, 1024 green, 1024 blue values.
            content = {"data": pictures.transpose(0, 3, 1, 2).reshape(per_batch, -1), "filenames": ["x"] * per_batch}
            content["fine_labels" if fine else "labels"] = labels
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        words = [f"name{i}" for i in range(100 if fine else 10)]
        meta = {"fine_label_names": words} if fine else {"label_names": words}
        (folder / ("meta" if fine else "batches.meta")).write_bytes(pickle.dumps(meta, protocol=2))
        return batches

    return write


@pytest.fixture(scope="session")
def write_npz() -> Callable[..., Path]:
    """Write an .npz of a good small data set, with keys replaced, or dropped where the value is None."""

    def write(path: Path, **changes: Any) -> Path:
        arrays: dict[str, Any] = {
            "x_train": random_images(12, (6, 6, 3), 5),
            "y_train": np.arange(12) % 3,
            "x_test": random_images(6, (6, 6, 3), 6),
            "y_test": np.arange(6) % 3,
            "class_names": np.array(["ant", "bee", "cow"]),
        }
        arrays |= changes
        np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
        return path

    return write


@pytest.fixture(scope="session")
def write_folders() -> Callable[..., Path]:
    """Write class folders of PNG files, each one colour with a dot whose place is its number."""

    def write(root: Path, counts: dict[str, int], size: tuple[int, int] = (10, 8)) -> Path:
        for seed, (name, count) in enumerate(counts.items()):
            folder = root / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                picture = np.full((size[1], size[0], 3), 40 + 50 * seed, dtype=np.uint8)
                picture[i % size[1], i // size[1] % size[0]] = (255, i % 256, 0)
                Image.fromarray(picture).save(folder / f"img_{i}.png")
        return root

    return write
