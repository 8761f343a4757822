"""How fast a run trains: ``nin-exp train`` against a plain PyTorch loop, with the same network and batch size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from nin_exp.bench.command import run_nin_exp, run_python
from nin_exp.bench.ratio import Ratio, alternate

_TRAIN_IMAGES, _TEST_IMAGES = 6000, 500


def measure_steps(folder: Path, *, repeats: int, steps: int, data: Path | None = None) -> list[Ratio]:
    """Images per second of NiN on images of 32 x 32, batch 128, on the CPU.

    Args:
        steps: of each measurement; the first 10 are not counted, on either side.
        data: an ``.npz`` file for ``dataset.source``; random images by default, since their values do not change the
            time of a step. The plain loop has random ones, which lie ready in memory.
    """
    source = _random_images(folder / "images.npz") if data is None else data

    def ours() -> float:
        ended = run_nin_exp(
            "train", "--json", "dataset=arrays", f"dataset.source={source}", "backbone=nin_2x2", "head=gap",
            "head.relu=true", "optimizer.lr=0.001", "optimizer.weight_decay=0", "schedule=constant", "trainer=cpu",
            f"trainer.max_steps={steps}", "trainer.eval_batch_size=100", "checkpoint.keep=none",
            f"runs_dir={folder / 'runs'}", f"study=step-{len(list(folder.glob('runs/*')))}",
            folder=folder,
        )  # fmt: skip
        return float(json.loads(ended.output)["images_per_second"])

    def theirs() -> float:
        return float(run_python("-m", "nin_exp.bench.plain_loop", str(steps), folder=folder).output)

    return [
        alternate(
            "training NiN, batch 128", "images/s", ours, theirs,
            theirs_name="plain PyTorch loop", higher_is_better=True, repeats=repeats,
        )
    ]  # fmt: skip


def _random_images(path: Path) -> Path:
    draw = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", _TRAIN_IMAGES), ("test", _TEST_IMAGES)):
        arrays[f"x_{split}"] = draw.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        arrays[f"y_{split}"] = np.arange(count, dtype=np.uint8) % 10
    np.savez(path, allow_pickle=False, **arrays, class_names=np.array([f"class {k}" for k in range(10)]))
    return path
