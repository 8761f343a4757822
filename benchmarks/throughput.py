"""Training throughput of NiN on CIFAR-10: ``nin-exp train`` against a plain PyTorch loop, in turn.

    python benchmarks/throughput.py --data-dir DIR [--blocks 3] [--steps 40]

``nin-exp bench step`` on real images: DIR holds cifar10.npz, of which a part is read. What is measured and against what
stands in nin_exp/bench/step.py and nin_exp/bench/plain_loop.py.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from nin_exp.bench.step import measure_steps

COUNTS = {"train": 6000, "test": 500}
"""Evaluation is not measured, so few test images."""


def main() -> None:
    """Measure, and print each pair and the ratio's median and range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "part.npz")
        with np.load(args.data_dir / "cifar10.npz") as data:
            arrays = {f"{xy}_{split}": data[f"{xy}_{split}"][:n] for split, n in COUNTS.items() for xy in "xy"}
            np.savez(part, allow_pickle=False, **arrays)
        (ratio,) = measure_steps(Path(folder), repeats=args.blocks, steps=args.steps, data=part)
    for ours, theirs, times in zip(ratio.ours, ratio.theirs, ratio.ratios, strict=True):
        print(f"plain {theirs:.1f} images/s, nin-exp {ours:.1f}, ratio {times:.2f}")
    print(f"median ratio: {ratio}; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
