"""Training images by the time of training steps: loader and augmentation in, evaluation and checkpoints out."""

from __future__ import annotations

import time

import torch

WARM_UP_STEPS = 10


class Throughput:
    """Counts images and seconds of the steps after the first ten of this process."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._steps = 0
        self._images = 0
        self._seconds = 0.0
        self._started: float | None = None

    def resume(self) -> None:
        """Steps begin, or begin again."""
        if self._steps >= WARM_UP_STEPS:
            self._started = self._now()

    def count(self, images: int) -> None:
        """A step over so many images has ended."""
        self._steps += 1
        if self._started is not None:
            self._images += images
        elif self._steps == WARM_UP_STEPS:
            self._started = self._now()

    def pause(self) -> None:
        """Steps end for a while."""
        if self._started is not None:
            self._seconds += self._now() - self._started
            self._started = None

    @property
    def images_per_second(self) -> float | None:
        """None until a step was timed."""
        return self._images / self._seconds if self._images > 0 and self._seconds > 0 else None

    def _now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()
