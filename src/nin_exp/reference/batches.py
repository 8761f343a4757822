"""Batches of a data set: each epoch sees every example once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nin_exp.reference.layout import Array
from nin_exp.reference.module import Layer, inference


def batch_indices(
    count: int, batch_size: int, rng: np.random.Generator | None = None
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the indices of each batch; the last one is smaller when the sizes do not divide.

    Args:
        count: examples in the data set.
        batch_size: examples in a batch, from 1.
        rng: shuffles, and continues, so that every epoch has an order of its own; None for the data's order.

    >>> [batch.tolist() for batch in batch_indices(5, 2)]
    [[0, 1], [2, 3], [4]]

    Raises:
        ValueError: ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    order = np.arange(count) if rng is None else rng.permutation(count)
    for start in range(0, count, batch_size):
        yield order[start : start + batch_size]


def predict(network: Layer, images: Array, batch_size: int = 256) -> Array:
    """The network's results ``(N, K)`` for all images ``(N, C, H, W)``, in evaluation mode, batch by batch.

    Raises:
        ValueError: there is no image, or ``batch_size`` is below 1.
    """
    if len(images) == 0:
        raise ValueError("predict must get at least one image, got 0")
    with inference(network):
        return np.concatenate([network(images[batch]) for batch in batch_indices(len(images), batch_size)])
