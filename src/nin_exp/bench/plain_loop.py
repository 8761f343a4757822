"""Training NiN with a plain PyTorch loop, to measure nin-exp against: ``python -m nin_exp.bench.plain_loop STEPS``.

What system 004 (NIN-pytorch, 2019) does: NCHW, defaults everywhere, SGD with Nesterov momentum, ``loss.item()`` each
step. Its batches lie ready in memory, so its loader costs nothing. Prints images per second, without the first steps.
"""

from __future__ import annotations

import sys
import time

import torch
from torch import nn

WARM_UP = 10
BATCH_SIZE = 128


def network() -> nn.Sequential:
    """NiN as systems 000 and 004 have it: three mlpconv blocks, 2x2 pools, channel dropout."""

    def block(channels: int, widths: tuple[int, int, int], kernel: int) -> list[nn.Module]:
        first, second, third = widths
        return [
            nn.Conv2d(channels, first, kernel, padding=kernel // 2), nn.ReLU(),
            nn.Conv2d(first, second, 1), nn.ReLU(),
            nn.Conv2d(second, third, 1), nn.ReLU(),
        ]  # fmt: skip

    return nn.Sequential(
        *block(3, (192, 160, 96), 5), nn.MaxPool2d(2, 2), nn.Dropout2d(),
        *block(96, (192, 192, 192), 5), nn.MaxPool2d(2, 2), nn.Dropout2d(),
        *block(192, (192, 192, 10), 3), nn.AvgPool2d(8), nn.Flatten(),
    )  # fmt: skip


def images_per_second(steps: int) -> float:
    """Train on random images; their values do not change the time of a step."""
    model = network()
    images = torch.rand(BATCH_SIZE * 8, 3, 32, 32) - 0.5
    labels = torch.randint(0, 10, (BATCH_SIZE * 8,))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    criterion = nn.CrossEntropyLoss()
    started = 0.0
    for step in range(steps):
        if step == WARM_UP:
            started = time.perf_counter()
        first = step % 8 * BATCH_SIZE
        batch = slice(first, first + BATCH_SIZE)
        loss = criterion(model(images[batch].contiguous()), labels[batch])
        loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (steps - WARM_UP) * BATCH_SIZE / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.stdout.write(f"{images_per_second(int(sys.argv[1]))}\n")
