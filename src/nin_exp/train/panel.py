"""The panel's test images, kept once for all runs of a study that saw them, so that a report can show them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from nin_exp.data.prepare import PreparedData
from nin_exp.records.files import atomic_write
from nin_exp.train.run_files import panel_indices

PANELS_DIR = "panels"
LARGEST_SIDE = 64
"""Pixels; larger images are shrunk, since they are there to be looked at in a table."""


def write_panel(run_dir: Path, data: PreparedData, size: int) -> None:
    """Write ``<study>/panels/<data>-<content>.npz`` unless it is there: the images of the run's panel.

    ``images`` uint8 ``(P, H, W, C)``, ``indices`` (P,) in the test split, ``labels`` (P,).

    Raises:
        StorageError: the file cannot be written.
    """
    indices = panel_indices(len(data.test), size)
    if not indices:
        return
    images, labels = _shrunk(data.test.images[indices]), data.test.labels[indices].astype(np.int64)
    content = hashlib.sha256(str(images.shape).encode())
    for array in (images, labels, np.asarray(indices, dtype=np.int64)):
        content.update(np.ascontiguousarray(array).tobytes())
    path = run_dir.parent / PANELS_DIR / f"{data.fingerprint[:16]}-{content.hexdigest()[:12]}.npz"
    if path.is_file():
        return
    arrays: dict[str, Any] = {"images": images, "indices": np.asarray(indices), "labels": labels}
    with atomic_write(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _shrunk(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = images.shape[1:3]
    scale = LARGEST_SIDE / max(height, width)
    if scale >= 1:
        return images
    target = max(1, round(width * scale)), max(1, round(height * scale))
    small = [[Image.fromarray(np.ascontiguousarray(c)).resize(target) for c in np.moveaxis(i, 2, 0)] for i in images]
    return np.stack([np.stack([np.asarray(channel) for channel in image], axis=2) for image in small])
