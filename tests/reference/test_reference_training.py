"""Whole networks learn, and step for step as torch does from the same weights."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from nin_exp.reference.activations import ReLU, Tanh
from nin_exp.reference.batches import batch_indices, predict
from nin_exp.reference.containers import Sequential
from nin_exp.reference.conv import Conv2d
from nin_exp.reference.initialisers import initialise, kaiming_normal
from nin_exp.reference.linear import Flatten, Linear
from nin_exp.reference.losses import MSE, CrossEntropy
from nin_exp.reference.module import Layer, Parameter
from nin_exp.reference.optimizers import SGD, Adam
from nin_exp.reference.pooling import GlobalAvgPool, MaxPool2d

# Kernel sizes and pools of NiN for CIFAR-10 (the author's configuration); its widths, and narrow ones.
KERNELS = [5, 1, 1, 5, 1, 1, 3, 1, 1]
WIDTHS = [192, 160, 96, 192, 192, 192, 192, 192, 10]
NARROW = [12, 10, 9, 12, 12, 9, 12, 12, 10]
BIAS_LR, DECAY = 2.0, 1e-4


def nin(widths: list[int], rng: np.random.Generator) -> Sequential:
    layers: list[Layer] = []
    for number, ((c, k), size) in enumerate(zip(itertools.pairwise([3, *widths]), KERNELS, strict=True)):
        layers += [Conv2d(c, k, size, padding=size // 2, rng=rng), ReLU()]
        layers += [MaxPool2d(3, 2, ceil_mode=True)] if number in (2, 5) else []
    return Sequential(*layers[:-1], GlobalAvgPool())


def torch_nin(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number, ((c, k), size) in enumerate(zip(itertools.pairwise([3, *widths]), KERNELS, strict=True)):
        layers += [nn.Conv2d(c, k, size, padding=size // 2), nn.ReLU()]
        layers += [nn.MaxPool2d(3, 2, ceil_mode=True)] if number in (2, 5) else []
    return nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())


def losses_of_both(widths: list[int], dtype: type, size: int, batch: int, lr: float, steps: int = 50) -> np.ndarray:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((4 * batch, 3, size, size)).astype(dtype)
    labels = rng.integers(0, widths[-1], 4 * batch)
    ours, theirs = nin(widths, rng), torch_nin(widths)
    if widths is NARROW:  # as large as they may be: a stricter test than torch's small default
        initialise(ours, kaiming_normal, rng)
    ours.cast(dtype)
    theirs.to(torch.from_numpy(images).dtype)
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    groups = {name.endswith("bias"): [] for name in ours.state_dict()}
    torch_groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for (name, p), (_, q) in zip(ours.named_parameters().items(), theirs.named_parameters(), strict=True):
        groups[name.endswith("bias")].append(p)
        torch_groups[name.endswith("bias")].append(q)
    settings = {False: {"lr": lr, "weight_decay": DECAY}, True: {"lr": BIAS_LR * lr}}
    optimizer = SGD([{"parameters": groups[b], **settings[b]} for b in (False, True)], lr=lr, momentum=0.9)
    torch_sgd = torch.optim.SGD([{"params": torch_groups[b], **settings[b]} for b in (False, True)], lr, momentum=0.9)
    loss, result = CrossEntropy(), []
    epochs = itertools.chain.from_iterable(batch_indices(len(images), batch, rng) for _ in range(steps))
    for indices in itertools.islice(epochs, steps):
        optimizer.zero_grad()
        value = loss(ours(images[indices]), labels[indices])
        ours.backward_parameters(loss.backward())
        optimizer.step()
        torch_sgd.zero_grad()
        logits = theirs(torch.from_numpy(images[indices]))
        torch_loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels[indices]))
        torch_loss.backward()
        torch_sgd.step()
        result.append((value, float(torch_loss.detach())))
    return np.array(result)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_fifty_steps_of_a_narrow_nin_give_torch_s_losses(dtype, tolerance):
    values = losses_of_both(NARROW, dtype, size=16, batch=8, lr=0.02)
    np.testing.assert_allclose(values[:, 0], values[:, 1], rtol=tolerance)
    assert values[-8:, 0].mean() < 0.9 * values[:8, 0].mean()  # and something was learnt


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_fifty_steps_of_nin_give_torch_s_losses(dtype, tolerance):
    values = losses_of_both(WIDTHS, dtype, size=32, batch=8, lr=0.01)
    np.testing.assert_allclose(values[:, 0], values[:, 1], rtol=tolerance)


def test_a_network_learns_sixteen_images_by_heart(rng):
    images, labels = rng.standard_normal((16, 3, 16, 16)).astype(np.float32), np.arange(16) % 10
    network, loss = nin(NARROW, rng), CrossEntropy()
    optimizer = Adam(network.parameters(), lr=3e-3)
    for _ in range(250):
        optimizer.zero_grad()
        value = loss(network(images), labels)
        network.backward_parameters(loss.backward())
        optimizer.step()
    assert value < 0.05
    np.testing.assert_array_equal(predict(network, images).argmax(axis=1), labels)


def test_a_linear_layer_finds_the_line_that_made_its_data(rng):
    """The published self-test: y = w x + b from 500 examples of 100 values, ten at a time."""
    w, b = rng.standard_normal((100, 1)), rng.standard_normal(1)
    x = rng.standard_normal((500, 100))
    layer, loss = Linear(100, 1, rng=rng, dtype=np.float64), MSE()
    optimizer = SGD(layer.parameters(), lr=0.01)
    for _ in range(120):
        for batch in batch_indices(500, 10, rng):
            optimizer.zero_grad()
            loss(layer(x[batch]), x[batch] @ w + b)
            layer.backward_parameters(loss.backward())
            optimizer.step()
    np.testing.assert_allclose(layer.weight.data, w.T, atol=1e-6)
    np.testing.assert_allclose(layer.bias.data, b, atol=1e-6)


def test_the_published_example_network_runs_in_any_dtype(rng):
    for dtype in (np.float32, np.float64):
        network = Sequential(
            *(Conv2d(1, 6, 3, padding=1, rng=rng, dtype=dtype), MaxPool2d(2), Tanh()),
            *(Conv2d(6, 12, 3, padding=1, rng=rng, dtype=dtype), MaxPool2d(2), Tanh(), Flatten()),
            *(Linear(12 * 7 * 7, 512, rng=rng, dtype=dtype), Tanh(), Linear(512, 128, rng=rng, dtype=dtype), Tanh()),
            Linear(128, 10, rng=rng, dtype=dtype),
        )
        loss = CrossEntropy()
        value = loss(network(rng.standard_normal((4, 1, 28, 28)).astype(dtype)), np.array([0, 1, 2, 9]))
        dx = network.backward(loss.backward())
        optimizer = SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
        optimizer.step()
        assert np.isfinite(value)
        arrays = [dx, *network.state_dict().values(), *[p.grad for p in network.parameters()]]
        assert {array.dtype for array in [*arrays, *optimizer.state_dict().values()]} == {np.dtype(dtype)}


def test_no_float64_is_made_on_the_way_through_float32_work(rng, monkeypatch):
    """Every array handed from layer to layer, forward and back, is float32."""
    network, seen = nin(NARROW, rng), []
    for _, layer in network.layers():
        for name in ("forward", "backward"):
            method = getattr(layer, name)

            def watch(array: np.ndarray, method=method) -> np.ndarray:
                result = method(array)
                seen.extend((array.dtype, result.dtype))
                return result

            monkeypatch.setattr(layer, name, watch)
    loss = CrossEntropy()
    loss(network(rng.standard_normal((2, 3, 16, 16)).astype(np.float32)), np.array([0, 1]))
    network.backward(loss.backward())
    assert len(seen) > 60
    assert set(seen) == {np.dtype(np.float32)}
    assert all(isinstance(p, Parameter) and p.grad.dtype == np.float32 for p in network.parameters())
