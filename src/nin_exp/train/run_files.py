"""The files of a run directory that are written while it trains and when it is evaluated."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nin_exp.checkpoint.files import remove_checkpoint
from nin_exp.contracts.model import Network
from nin_exp.data.loader import BatchLoader
from nin_exp.data.prepare import PreparedData
from nin_exp.data.preprocess.fitted import save as save_preprocessing
from nin_exp.module.evaluate import Predictions
from nin_exp.records.files import atomic_write, write_json, write_text

LOCK_FILE = ".lock"
"""Held by the process that trains into the directory."""
METRICS_FILE = "metrics.csv"
TIMES_FILE = "times.csv"
LAST = Path("checkpoints", "last.ckpt")
BEST = Path("checkpoints", "best.ckpt")


def write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    """Write a CSV anew from all its rows: a run that goes on neither loses nor doubles one."""
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_input(run_dir: Path, data: PreparedData) -> None:
    """Write ``input.json``: what the network expects of an image, so that a run can be used without its data.

    A whitening's matrix stands beside it, in ``whitening.npz``.
    """
    spec = data.image_spec
    values = {
        "image_spec": [spec.channels, spec.height, spec.width],
        "preprocess": save_preprocessing(data.fit.result, run_dir),
        "class_names": list(data.class_names),
        "num_classes": data.num_classes,
    }
    write_json(run_dir / "input.json", values)


def write_predictions(run_dir: Path, splits: dict[str, Predictions]) -> None:
    """Write ``predictions.npz``: ``<split>_logits`` float32 ``(N, K)`` and ``<split>_labels`` int64 ``(N,)``."""
    arrays: dict[str, Any] = {}
    for split, predictions in splits.items():
        arrays[f"{split}_logits"] = predictions.logits.numpy()
        arrays[f"{split}_labels"] = predictions.labels.numpy()
    with atomic_write(run_dir / "predictions.npz") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def panel_indices(num_examples: int, size: int) -> list[int]:
    """Positions of the panel: evenly spread over the split, the same for every run of a data set."""
    size = min(size, num_examples)
    return [position * num_examples // size for position in range(size)]


def write_class_maps(run_dir: Path, network: Network, loader: BatchLoader, size: int) -> bool | None:
    """Write ``class_maps.npz`` for the panel of test images, when the head has class maps.

    ``indices`` (P,), ``maps`` float16 ``(P, K, h, w)``, ``labels`` (P,).

    Returns:
        Whether every map is zero everywhere (a dead head); None without class maps.
    """
    indices = panel_indices(loader.num_samples, size)
    if not indices:
        return None
    images, labels = loader.gather(indices)
    network.eval()
    with torch.inference_mode():
        found = [network.class_maps(chunk) for chunk in torch.split(images, 50)]
    maps = [m.float().cpu() for m in found if m is not None]
    if len(maps) != len(found):
        return None
    stacked = torch.cat(maps)
    with atomic_write(run_dir / "class_maps.npz") as file:
        arrays: dict[str, Any] = {
            "indices": np.asarray(indices),
            "maps": stacked.half().numpy(),
            "labels": labels.cpu().numpy(),
        }
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return bool((stacked == 0).all())


def prune_checkpoints(run_dir: Path, keep: str) -> None:
    """Delete the checkpoints that ``checkpoint.keep`` does not name."""
    if keep in ("best", "none"):
        remove_checkpoint(run_dir / LAST)
    if keep in ("last", "none"):
        remove_checkpoint(run_dir / BEST)
