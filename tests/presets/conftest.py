"""Every preset on disk, and a small copy of the real images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import list_groups, shipped_config_dir

ROOT = shipped_config_dir()
PRESETS = list_groups((ROOT,))["experiment"]
DEBUGS = list_groups((ROOT,))["debug"]
COUNTS = {"train": 400, "test": 40}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "any_preset" in metafunc.fixturenames:
        metafunc.parametrize("any_preset", PRESETS)
    if "any_debug" in metafunc.fixturenames:
        metafunc.parametrize("any_debug", DEBUGS)


@pytest.fixture(scope="session")
def composer() -> Composer:
    return Composer((ROOT,))


@pytest.fixture(scope="session")
def small_source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Data set -> overrides that read a few of its real images; skips where there are none."""
    folder = tmp_path_factory.mktemp("small")

    def few(name: str) -> list[str]:
        if name == "digits":
            return []
        data = Path(os.environ.get("NIN_EXP_DATA", ""))
        found = data / (name if name == "flowers" else f"{name}.npz")
        if not os.environ.get("NIN_EXP_DATA") or not found.exists():
            pytest.skip(f"real images: set NIN_EXP_DATA to a folder with {found.name}")
        target = folder / found.name
        if not target.exists():
            _copy_few_files(found, target) if name == "flowers" else _copy_few_rows(found, target)
        return [f"dataset.source={target}", *(["dataset.extra=false"] if name == "svhn" else [])]

    return few


def _copy_few_rows(source: Path, target: Path) -> None:
    """The first images of each class."""
    with np.load(source) as arrays:
        few = {"class_names": arrays["class_names"]}
        for split, count in COUNTS.items():
            labels = arrays[f"y_{split}"]
            each = max(2, count // len(arrays["class_names"]))
            rows = np.concatenate([np.flatnonzero(labels == label)[:each] for label in np.unique(labels)])
            few |= {f"{kind}_{split}": arrays[f"{kind}_{split}"][rows] for kind in "xy"}
    np.savez(target, **few)


def _copy_few_files(source: Path, target: Path) -> None:
    for folder in sorted(p for p in source.iterdir() if p.is_dir()):
        (target / folder.name).mkdir(parents=True)
        for image in sorted(folder.glob("*.jpg"))[:16]:
            shutil.copy(image, target / folder.name)
