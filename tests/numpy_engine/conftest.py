"""Networks of the shipped options, in a torch and a NumPy copy that start from the same weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from nin_exp.build import build_network, build_optimizer, build_schedule
from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.config import ExperimentConfig
from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Network
from nin_exp.contracts.optim import BuiltSchedule
from nin_exp.numpy_engine.classifier import NumpyClassifier
from nin_exp.numpy_engine.network import NumpyNetwork

Array = npt.NDArray[np.floating]
Batch = tuple[Array, npt.NDArray[np.int64]]


@dataclass
class Twins:
    """One configuration trained by both engines, torch's step written out as a torch user would."""

    torch_network: Network
    classifier: NumpyClassifier
    optimizer: torch.optim.Optimizer
    schedule: BuiltSchedule
    clip_norm: float | None
    label_smoothing: float

    @property
    def network(self) -> NumpyNetwork:
        return self.classifier.network

    def step(self, images: Array, labels: npt.NDArray[np.int64]) -> tuple[float, float]:
        """Both losses of one step."""
        self.torch_network.train()
        logits = self.torch_network(torch.from_numpy(images))
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels), label_smoothing=self.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.torch_network.parameters(), self.clip_norm)
        self.optimizer.step()
        own = self.classifier.training_step(images, labels)
        if self.schedule.interval == "step":
            self.schedule.scheduler.step()
        self.classifier.step_batch_schedule()
        return loss.item(), own

    def losses(self, images: Array, labels: npt.NDArray[np.int64], steps: int) -> npt.NDArray[np.float64]:
        """``(steps, 2)``: torch's and NumPy's losses on consecutive batches of a ring of images."""
        size = len(images) // 4
        batches = [np.arange(start, start + size) % len(images) for start in range(0, steps * size, size)]
        return np.array([self.step(images[batch], labels[batch]) for batch in batches])


@pytest.fixture(scope="session")
def composer() -> Composer:
    return Composer((shipped_config_dir(),))


def without_dropout(network: Network) -> Network:
    for layer in network.modules():
        if isinstance(layer, nn.Dropout | nn.Dropout2d):
            layer.p = 0.0
    return network


@pytest.fixture(scope="session")
def make_twins() -> Callable[..., Twins]:
    return _make_twins


@pytest.fixture(scope="session")
def random_batch() -> Callable[..., Batch]:
    return _random_batch


def _make_twins(config: ExperimentConfig, spec: ImageSpec, dtype: torch.dtype, steps: int = 50) -> Twins:
    """Both engines' side of a configuration, without dropout, whose draws no two engines share."""
    network = without_dropout(build_network(config, spec, 10)).to(dtype)
    copied = copy.deepcopy(network)
    times = {"total_steps": steps, "steps_per_epoch": max(1, steps // 5)}
    optimizer = build_optimizer(config).build(network)
    trainer = config.trainer
    classifier = NumpyClassifier(
        NumpyNetwork(copied, seed=0),
        build_optimizer(config),
        build_schedule(config),
        label_smoothing=trainer.label_smoothing,
        clip_norm=trainer.clip_norm,
        **times,
    )
    schedule = build_schedule(config).build(optimizer, **times)
    return Twins(network, classifier, optimizer, schedule, trainer.clip_norm, trainer.label_smoothing)


def _random_batch(spec: ImageSpec, size: int, dtype: type[np.floating]) -> Batch:
    """Images and labels of ten classes, the same each time."""
    rng = np.random.default_rng(5)
    images = rng.standard_normal((size, spec.channels, spec.height, spec.width)).astype(dtype)
    return images, rng.integers(0, 10, size)
