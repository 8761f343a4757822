"""Images in, predictions out, a chunk at a time; images that cannot be read do not stop the others. No torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import ImageSpec
from nin_exp.cores import available_cores
from nin_exp.data.images import UnreadableImageError
from nin_exp.inference.images import ImageInput, Levels, OneImage, each_image, fit, name_of, read_levels
from nin_exp.inference.prediction import Prediction, Unreadable

_MAX_THREADS = 8
_Decoded = tuple[str, Levels | None, str]


@dataclass(frozen=True)
class PredictionStream:
    """Decodes the next images while a network computes.

    Args:
        logits_of: uint8 ``(N, H, W, C)`` of the network's size to float32 ``(N, K)``.
        batch_size: images of one pass.
    """

    spec: ImageSpec
    class_names: tuple[str, ...]
    batch_size: int
    logits_of: Callable[[Levels], npt.NDArray[np.float32]]

    def predict_each(self, images: ImageInput) -> Iterator[Prediction | Unreadable]:
        """One result an image, in order."""
        numbered = enumerate(each_image(images, self.spec.channels))
        pool = ThreadPoolExecutor(min(_MAX_THREADS, available_cores()))
        try:
            chunk = self._submit(pool, numbered)
            while chunk:
                following = self._submit(pool, numbered)
                yield from self._predict_chunk([future.result() for future in chunk])
                chunk = following
        finally:
            pool.shutdown(cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, numbered: Iterator[tuple[int, OneImage]]) -> list[Future[_Decoded]]:
        return [pool.submit(self._read, i, image) for i, image in itertools.islice(numbered, self.batch_size)]

    def _read(self, position: int, image: OneImage) -> _Decoded:
        """Name, levels of the network's size (None when unreadable), and the reason."""
        name = name_of(image, position)
        try:
            levels = read_levels(image, self.spec.channels, name)
        except UnreadableImageError as error:
            return name, None, str(error).removeprefix(f"{name}: ")
        return name, fit(levels, self.spec), ""

    def _predict_chunk(self, chunk: list[_Decoded]) -> Iterator[Prediction | Unreadable]:
        readable = [levels for _, levels, _ in chunk if levels is not None]
        logits = iter(self.logits_of(np.stack(readable)) if readable else ())
        for name, levels, reason in chunk:
            if levels is None:
                yield Unreadable(name, reason)
            else:
                yield Prediction.from_logits(name, self.class_names, next(logits))
