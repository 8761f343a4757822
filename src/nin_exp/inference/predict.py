"""Classes and probabilities of images, a chunk at a time; images that cannot be read do not stop the others."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nin_exp.contracts.data import ImageArrays
from nin_exp.contracts.model import Network
from nin_exp.data.images import UnreadableImageError
from nin_exp.data.loader import BatchLoader
from nin_exp.inference.images import ImageInput, Levels, OneImage, each_image, fit, name_of, read_levels
from nin_exp.inference.input_spec import InputSpec
from nin_exp.module.evaluate import predict

_MAX_THREADS = 8


@dataclass(frozen=True)
class Prediction:
    """What the network says of one image.

    Args:
        name: the path, or ``image N`` by position.
        logits: float32 ``(K,)``.
        probabilities: float64 ``(K,)``, summing to 1.
    """

    name: str
    class_names: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float64]

    @property
    def index(self) -> int:
        """Number of the most probable class."""
        return int(self.probabilities.argmax())

    @property
    def class_name(self) -> str:
        """The most probable class."""
        return self.class_names[self.index]

    @property
    def probability(self) -> float:
        """Probability of the most probable class."""
        return float(self.probabilities.max())

    def top(self, count: int) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities, highest first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.class_names[i], float(self.probabilities[i])) for i in order]


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Predictor:
    """A trained network with what its inputs need.

    Args:
        batch_size: images of one pass.
        autocast_dtype: as the run was evaluated; None for float32.
    """

    network: Network
    spec: InputSpec
    device: torch.device
    batch_size: int
    autocast_dtype: torch.dtype | None
    channels_last: bool

    def loader(self, arrays: ImageArrays) -> BatchLoader:
        """Batches as training's evaluation makes them: the same loader, with the run's own mean and deviation.

        Args:
            arrays: of the network's image size.
        """
        return BatchLoader(
            arrays,
            mean=self.spec.mean,
            std=self.spec.std,
            batch_size=self.batch_size,
            shuffle=False,
            drop_last=False,
            augment=None,
            order_seed=0,
            augment_seed=0,
            device=self.device,
            channels_last=self.channels_last,
        )

    def logits(self, levels: Levels) -> Tensor:
        """float32 ``(N, K)`` on the CPU for uint8 ``(N, H, W, C)`` of the network's size."""
        arrays = ImageArrays(levels, np.zeros(len(levels), dtype=np.int64))
        return predict(self.network, self.loader(arrays), autocast_dtype=self.autocast_dtype).logits

    def inputs(self, levels: Levels) -> Tensor:
        """float32 ``(N, C, H, W)`` on the device, as the network sees them."""
        arrays = ImageArrays(levels, np.zeros(len(levels), dtype=np.int64))
        return self.loader(arrays).gather(range(len(levels)))[0]

    def predict_each(self, images: ImageInput) -> Iterator[Prediction | Unreadable]:
        """One result an image, in order; the next images are decoded while the network computes."""
        numbered = enumerate(each_image(images, self.spec.image_spec.channels))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        pool = ThreadPoolExecutor(min(_MAX_THREADS, cores))
        try:
            chunk = self._submit(pool, numbered)
            while chunk:
                following = self._submit(pool, numbered)
                yield from self._predict_chunk([future.result() for future in chunk])
                chunk = following
        finally:
            pool.shutdown(cancel_futures=True)

    def _submit(
        self, pool: ThreadPoolExecutor, numbered: Iterator[tuple[int, OneImage]]
    ) -> list[Future[tuple[str, Levels | None, str]]]:
        return [pool.submit(self._read, i, image) for i, image in itertools.islice(numbered, self.batch_size)]

    def _read(self, position: int, image: OneImage) -> tuple[str, Levels | None, str]:
        """Name, levels of the network's size (None when unreadable), and the reason."""
        name = name_of(image, position)
        try:
            levels = read_levels(image, self.spec.image_spec.channels, name)
        except UnreadableImageError as error:
            return name, None, str(error).removeprefix(f"{name}: ")
        return name, fit(levels, self.spec.image_spec), ""

    def _predict_chunk(self, chunk: list[tuple[str, Levels | None, str]]) -> Iterator[Prediction | Unreadable]:
        readable = [levels for _, levels, _ in chunk if levels is not None]
        logits = iter(self.logits(np.stack(readable)) if readable else ())
        for name, levels, reason in chunk:
            yield Unreadable(name, reason) if levels is None else self.prediction(name, next(logits))

    def prediction(self, name: str, logits: Tensor) -> Prediction:
        """One image's result from its logits ``(K,)``."""
        return Prediction(name, self.spec.class_names, logits.numpy(), logits.double().softmax(0).numpy())
