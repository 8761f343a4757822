"""Seconds of `nin-exp predict` from its start to its end: 1,000 PNGs of CIFAR's size, by a NiN of full width.

    python benchmarks/predict_start.py [--images 1000] [--times 5] [--backbone nin]

The run has one step behind it (what its weights are does not change the time), the images are noise, which takes
longest to decode. Each time is of a process of its own, as a user starts it. Beside it the same for one image, which is
the start alone, and for the run's ONNX file, which needs no torch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SOURCE = Path(__file__).resolve().parents[1] / "src"


def nin_exp(folder: Path, *arguments: str) -> float:
    """Seconds of one command."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "nin_exp", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    return seconds


def prepare(folder: Path, num_images: int, backbone: str) -> None:
    """A run, its ONNX file, and the images."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (max(num_images, 200), 32, 32, 3), dtype=np.uint8)
    few, labels = images[:200], np.arange(200) % 10
    names = [f"class {number}" for number in range(10)]
    np.savez(folder / "noise.npz", x_train=few, y_train=labels, x_test=few, y_test=labels, class_names=names)
    (folder / "images").mkdir()
    for number, image in enumerate(images[:num_images]):
        Image.fromarray(image).save(folder / "images" / f"{number:05}.png")
    settings = ["dataset=arrays", "dataset.source=noise.npz", f"backbone={backbone}", "trainer.max_steps=1"]
    nin_exp(folder, "train", *settings, "evaluation.level=validation", "study=noise")
    (record,) = folder.glob("runs/noise/*/record.json")
    record.parent.rename(folder / "run")
    nin_exp(folder, "export", "run", "--output", "run.onnx")


def main() -> None:
    """Prepare, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--backbone", default="nin")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, args.images, args.backbone)
        for model in ("run", "run.onnx"):
            for what in ("images/00000.png", "images"):
                times = sorted(nin_exp(folder, "predict", model, what, "--csv", "out.csv") for _ in range(args.times))
                count = 1 if what.endswith("png") else args.images
                median = statistics.median(times)
                print(f"{model:<8} {count:>5} images: median {median:.2f} s, {times[0]:.2f} to {times[-1]:.2f}")


if __name__ == "__main__":
    main()
