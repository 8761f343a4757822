"""Training throughput of NiN on CIFAR-10: ``nin-exp train`` against a plain PyTorch loop, alternated in one run.

    python benchmarks/throughput.py --data-dir DIR [--blocks 3] [--steps 40]

DIR holds cifar10.npz. The plain loop is what system 004 (NIN-pytorch, 2019) does: NCHW, defaults everywhere, SGD with
Nesterov momentum, `loss.item()` each step; its batches lie ready in memory, so its loader costs nothing. nin-exp trains
the same network (2x2 pools, channel dropout, ReLU on the class maps) with its own loader, and its `images_per_second`
leaves out the first 10 steps; so does the plain loop's figure here. Each measurement is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WARM_UP = 10


def plain_loop(data_file: Path, steps: int) -> float:
    """Images per second of the plain loop."""
    import numpy as np
    import torch
    from torch import nn

    from nin_exp.bench.plain_loop import network as plain_network

    network = plain_network()
    with np.load(data_file) as data:
        images = torch.from_numpy(data["x_train"][: 128 * 8]).permute(0, 3, 1, 2).float() / 255 - 0.5
        labels = torch.from_numpy(data["y_train"][: 128 * 8]).long()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    criterion = nn.CrossEntropyLoss()
    started = 0.0
    for step in range(steps):
        if step == WARM_UP:
            started = time.perf_counter()
        batch = slice(step % 8 * 128, (step % 8 + 1) * 128)
        loss = criterion(network(images[batch].contiguous()), labels[batch])
        loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (steps - WARM_UP) * 128 / (time.perf_counter() - started)


def nin_exp_train(data_file: Path, steps: int) -> float:
    """``images_per_second`` of the record of one short run; few test images, since evaluation is not measured."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "part.npz")
        with np.load(data_file) as data:
            counts = {"train": 6000, "test": 500}
            arrays = {f"{xy}_{split}": data[f"{xy}_{split}"][:n] for split, n in counts.items() for xy in "xy"}
        np.savez(part, **arrays)
        command = [
            sys.executable, "-m", "nin_exp", "train", "--json", "dataset=cifar10", "backbone=nin_2x2", "head=gap",
            "head.relu=true", "optimizer.lr=0.001", "optimizer.weight_decay=0", "schedule=constant", "trainer=cpu",
            f"trainer.max_steps={steps}", f"dataset.source={part}", f"runs_dir={folder}",
            "trainer.eval_batch_size=100", "checkpoint.keep=none",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["images_per_second"])


def main() -> None:
    """Measure, and print each block and the ratio's median and range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    data_file = args.data_dir / "cifar10.npz"
    if args.plain:
        print(plain_loop(data_file, args.steps))
        return
    ratios, ours, plain = [], [], []
    for index in range(args.blocks):
        command = [sys.executable, __file__, "--plain", "--data-dir", str(args.data_dir), "--steps", str(args.steps)]
        plain.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        ours.append(nin_exp_train(data_file, args.steps))
        ratios.append(ours[-1] / plain[-1])
        print(
            f"block {index + 1}: plain {plain[-1]:.1f} images/s, nin-exp {ours[-1]:.1f}, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(
        f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}), "
        f"plain {statistics.median(plain):.1f}, nin-exp {statistics.median(ours):.1f} images/s, {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
