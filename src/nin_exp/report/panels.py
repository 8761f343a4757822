"""The panel: some test images of a block, and what a run's class maps say of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nin_exp.report.collect import Run
from nin_exp.report.predictions import read_arrays

PANELS_DIR = "panels"
CLASS_MAPS_FILE = "class_maps.npz"


@dataclass(frozen=True)
class Panel:
    """Images of a block's test split.

    Args:
        images: uint8 ``(P, H, W, C)`` with 1 or 3 channels.
        indices: their positions in the split, int64 ``(P,)``. labels: true classes ``(P,)``.
    """

    images: NDArray[np.uint8]
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]


def find_panel(runs: Iterable[Run], labels: NDArray[np.int64]) -> Panel | None:
    """The panel of runs that saw the same examples; None where none was kept.

    Args:
        labels: of the whole split, which the panel's must agree with.
    """
    tried: set[Path] = set()
    for run in runs:
        fingerprint = "" if run.record is None else str(run.record.data.get("fingerprint", ""))[:16]
        if not fingerprint.isalnum():
            continue
        for path in sorted((run.run_dir.parent / PANELS_DIR).glob(f"{fingerprint}-*.npz")):
            if path not in tried and (panel := _read(path, labels)) is not None:
                return panel
            tried.add(path)
    return None


def _read(path: Path, labels: NDArray[np.int64]) -> Panel | None:
    arrays = read_arrays(path, ("images", "indices", "labels"))
    if arrays is None:
        return None
    images, indices, own = arrays
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3) or 0 in images.shape:
        return None
    if not _is_row(indices, len(images)) or not _is_row(own, len(images)) or not _is_inside(indices, len(labels)):
        return None
    places = indices.astype(np.int64)
    true = own.astype(np.int64)
    return Panel(images.astype(np.uint8), places, true) if np.array_equal(labels[places], true) else None


def read_class_maps(run_dir: Path, indices: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """A run's class maps of some images, float32 ``(len(indices), K, h, w)``; None where it has none of one of them.

    Args:
        indices: positions in the test split.
    """
    arrays = read_arrays(run_dir / CLASS_MAPS_FILE, ("indices", "maps"))
    if arrays is None:
        return None
    own, maps = arrays
    if maps.ndim != 4 or maps.dtype.kind != "f" or 0 in maps.shape or not _is_row(own, len(maps)):
        return None
    rows = {int(position): row for row, position in enumerate(own.tolist())}
    if not all(int(index) in rows for index in indices):
        return None
    chosen: NDArray[np.float32] = maps[[rows[int(index)] for index in indices]].astype(np.float32)
    return chosen if np.isfinite(chosen).all() else None


def _is_row(values: NDArray[np.generic], size: int) -> bool:
    return values.dtype.kind in "iu" and values.shape == (size,)


def _is_inside(indices: NDArray[np.generic], size: int) -> bool:
    return bool(int(indices.min()) >= 0 and int(indices.max()) < size)
