"""Pictures of a finished run for Weights & Biases, from the files in its run directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

NUM_PICTURES = 8
SIDE = 128
"""Pixels of one picture's side."""

MOST_CLASSES = 100
"""Classes of a confusion matrix; of more it is no picture."""


@dataclass(frozen=True)
class Confusion:
    """Labels and predicted classes of the test images, shape ``(N,)`` each."""

    labels: list[int]
    predicted: list[int]
    class_names: list[str]


def class_map_pictures(run_dir: Path) -> list[tuple[npt.NDArray[np.uint8], str]]:
    """Panel images, each beside the class map of its class, uint8 ``(H, 2 H, 3)``, with a caption.

    Empty where class maps or the panel's images were not kept.
    """
    maps_file = run_dir / "class_maps.npz"
    if not maps_file.is_file():
        return []
    with np.load(maps_file) as content:
        maps, labels, indices = content["maps"], content["labels"], content["indices"]
    images = _panel_images(run_dir, indices)
    if images is None:
        return []
    names = _class_names(run_dir)
    chosen = np.unique(np.linspace(0, len(labels) - 1, min(NUM_PICTURES, len(labels))).astype(int))
    found = []
    for place in chosen:
        label = int(labels[place])
        pair = [_picture(images[place]), _heat(maps[place, label].astype(np.float32))]
        name = names[label] if label < len(names) else str(label)
        found.append((np.concatenate(pair, axis=1), f"test image {int(indices[place])}: {name}"))
    return found


def confusion(run_dir: Path) -> Confusion | None:
    """The test split's labels and predictions; None where they were not kept or the classes are too many."""
    names, path = _class_names(run_dir), run_dir / "predictions.npz"
    if not path.is_file() or not 2 <= len(names) <= MOST_CLASSES:
        return None
    with np.load(path) as content:
        if "test_logits" not in content:
            return None
        predicted, labels = content["test_logits"].argmax(axis=1), content["test_labels"]
    return Confusion(labels.tolist(), predicted.tolist(), names)


def _panel_images(run_dir: Path, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8] | None:
    """The newest panel of the study that holds just these images."""
    panels = sorted((run_dir.parent / "panels").glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in panels:
        with np.load(path) as content:
            if np.array_equal(content["indices"], indices):
                images: npt.NDArray[np.uint8] = content["images"]
                return images
    return None


def _class_names(run_dir: Path) -> list[str]:
    try:
        values: dict[str, Any] = json.loads((run_dir / "input.json").read_text(encoding="utf-8"))
        return [str(name) for name in values["class_names"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _picture(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[:, :, :3]
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def _heat(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """A class map as a picture: black, red, yellow, white from its smallest value to its largest."""
    low, high = float(values.min()), float(values.max())
    level = (values - low) / (high - low) if high > low else np.zeros_like(values)
    colours = np.stack([np.clip(3 * level - shift, 0, 1) for shift in (0, 1, 2)], axis=2)
    picture = Image.fromarray((255 * colours).astype(np.uint8))
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
