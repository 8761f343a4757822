"""Runs on a few batches, for a quick look or to see a network overfit; they are flagged, and are no results."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nin_exp.config import TrainerConfig
from nin_exp.contracts.data import ImageArrays
from nin_exp.data.prepare import PreparedData

LIMITED = "limited"
"""The flag of such a run."""


def limit_data(data: PreparedData, trainer: TrainerConfig, order_seed: int) -> PreparedData:
    """The data that a limited run sees; ``data`` itself without a limit.

    ``limit_batches`` takes so many batches of each split: of the training split at random, of the others evenly
    spread. ``overfit_batches`` takes so many of the training split for every split. Mean, deviation and
    fingerprint stay those of the whole data.
    """
    num_overfit, num_limit = trainer.overfit_batches, trainer.limit_batches
    if num_overfit is None and num_limit is None:
        return data
    num_train = (num_overfit or num_limit or 0) * trainer.batch_size
    rows = np.random.default_rng(_seed(order_seed)).permutation(len(data.train))[:num_train]
    rows.sort()
    train = take(data.train, rows)
    if num_overfit is not None:
        val, test = train, train
    else:
        assert num_limit is not None
        size = num_limit * trainer.eval_batch_size
        val, test = (take(split, evenly_spread(len(split), size)) for split in (data.val, data.test))
    chance = float(np.bincount(test.labels).max() / len(test))
    return replace(data, train=train, val=val, test=test, train_indices=data.train_indices[rows], chance=chance)


def evenly_spread(num_examples: int, size: int) -> npt.NDArray[np.int64]:
    """Positions of at most ``size`` examples, evenly spread over a split."""
    size = min(size, num_examples)
    return np.arange(size, dtype=np.int64) * num_examples // max(1, size)


def _seed(order_seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"limit/{order_seed}".encode()).digest()[:8], "big")


def take(arrays: ImageArrays, rows: npt.NDArray[np.int64]) -> ImageArrays:
    """Some examples of a split."""
    return ImageArrays(arrays.images[rows], arrays.labels[rows], None if arrays.boxes is None else arrays.boxes[rows])
