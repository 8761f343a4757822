"""What the published networks claim on MNIST, reached with these operators (real images)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nin_exp.reference.activations import Tanh
from nin_exp.reference.batches import batch_indices, predict
from nin_exp.reference.containers import Sequential
from nin_exp.reference.conv import Conv2d
from nin_exp.reference.linear import Flatten, Linear
from nin_exp.reference.losses import CrossEntropy
from nin_exp.reference.optimizers import SGD
from nin_exp.reference.pooling import MaxPool2d

pytestmark = pytest.mark.slow


def accuracy_on_test(network: Sequential, folder: Path, images: int, epochs: int, lr: float) -> float:
    rng = np.random.default_rng(0)
    with np.load(folder / "mnist.npz", allow_pickle=False) as data:
        x_train, x_test = (
            data[f"x_{s}"].reshape(-1, 1, 28, 28).astype(np.float32) / 255 - 0.5 for s in ("train", "test")
        )
        y_train, y_test = (data[f"y_{s}"].astype(np.int64) for s in ("train", "test"))
    chosen = rng.permutation(len(x_train))[:images]
    x_train, y_train = x_train[chosen], y_train[chosen]
    loss, optimizer = CrossEntropy(), SGD(network.parameters(), lr=lr, momentum=0.9)
    for _ in range(epochs):
        for batch in batch_indices(len(x_train), 100, rng):
            optimizer.zero_grad()
            loss(network(x_train[batch]), y_train[batch])
            network.backward_parameters(loss.backward())
            optimizer.step()
    assert len(x_test) == 10_000
    return float(np.mean(predict(network, x_test).argmax(axis=1) == y_test))


def test_the_fully_connected_network_passes_its_published_92_percent(real_data, rng):
    layers = [Flatten(), Linear(784, 512, rng=rng), Tanh(), Linear(512, 128, rng=rng), Tanh(), Linear(128, 10, rng=rng)]
    assert accuracy_on_test(Sequential(*layers), real_data, images=60_000, epochs=2, lr=0.05) > 0.94


def test_the_conv_network_passes_90_percent_on_10000_images_in_5_epochs(real_data, rng):
    network = Sequential(
        *(Conv2d(1, 6, 3, padding=1, rng=rng), MaxPool2d(2), Tanh()),
        *(Conv2d(6, 12, 3, padding=1, rng=rng), MaxPool2d(2), Tanh(), Flatten()),
        *(Linear(12 * 7 * 7, 512, rng=rng), Tanh(), Linear(512, 128, rng=rng), Tanh(), Linear(128, 10, rng=rng)),
    )
    assert accuracy_on_test(network, real_data, images=10_000, epochs=5, lr=0.05) > 0.95
