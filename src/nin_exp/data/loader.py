"""Batches of a split that lies whole on the training device; Lightning takes it as a data loader.

Without worker processes, and with a state of a few numbers: order and augmentation of an epoch follow from their
seeds and the epoch's number, whatever was drawn before, on however many ranks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nin_exp.contracts.augment import Augmentation, Draws
from nin_exp.contracts.data import ImageArrays, Preprocessing
from nin_exp.data.preprocess.channels import ChannelNormalization
from nin_exp.errors import ConfigError, IntegrityError

Batch = tuple[Tensor, Tensor, Tensor]
_CHUNK = 1024


class BatchLoader:
    """Yields (images float32 ``(B, C, H, W)``, labels int64 ``(B,)``, indices int64 ``(B,)``) on ``device``.

    ``batch_size`` counts the images of a global batch, over all ranks. Global batch b is the same for every
    ``world_size``; a rank takes a contiguous part of it, the parts differing by one image at most. Every index comes
    exactly once in an epoch over all ranks (but for ``drop_last``): nothing is doubled to even the ranks out. A rank's
    part of the last batch of a split that is not shuffled can therefore be empty.

    An epoch is one pass; the next pass is the next epoch, also when this one was left early. ``len`` is the number of
    batches of a whole epoch.

    Args:
        arrays: the split; its images lie on ``device``: as uint8 where the preprocessing goes by channels, and is done
            batch by batch, else prepared once, as float32.
        preprocessing: what makes of the levels what a network sees.
        shuffle: a new order each epoch; also says that this is training, where a rank without an image is refused.
        drop_last: leave out the last batch when it is smaller than ``batch_size``.
        augment: None for none. Draws belong to (augment_seed, epoch, index), not to the place in a batch. What it
            erases becomes the mean; what it moves in is black, or 0 in images that were prepared before.
        order_seed: of the orders, any integer; unused without ``shuffle``.
        channels_last: memory format of the images.

    Raises:
        ConfigError: ``batch_size`` leaves no batch, or a rank without images; the augmentation does not fit the images.
    """

    def __init__(
        self,
        arrays: ImageArrays,
        *,
        preprocessing: Preprocessing,
        batch_size: int,
        shuffle: bool,
        drop_last: bool,
        augment: Augmentation | None,
        order_seed: int,
        augment_seed: int,
        device: torch.device | str,
        channels_last: bool,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.num_samples = len(arrays)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.augment = None if augment is None or augment.is_identity else augment
        self.order_seed = order_seed
        self.augment_seed = augment_seed
        self.device = torch.device(device)
        self.channels_last = channels_last
        self.rank, self.world_size = rank, world_size
        self._check_batches()
        self._by_channel = preprocessing if isinstance(preprocessing, ChannelNormalization) else None
        self._keep(arrays.images, preprocessing)
        self._labels = torch.from_numpy(arrays.labels.copy()).to(self.device)
        if self.augment is not None:
            self.augment.check_images(*arrays.images.shape[1:], are_levels=self._by_channel is not None)
        self._epoch, self._position = 0, 0  # the position counts the batches that were handed out
        self._is_resumed = False

    def _keep(self, images: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> None:
        """Put the images on the device, and what normalises them there."""
        if self._by_channel is None:
            self._store = _prepared_store(images, preprocessing, self.device, self.channels_last)
            self._fill = torch.zeros(images.shape[3], device=self.device)
            return
        self._store = _store(images, self.device, self.channels_last)
        self._scale = torch.from_numpy(self._by_channel.scale).to(self.device)
        self._shift = torch.from_numpy(self._by_channel.shift).to(self.device)
        means = torch.tensor(self._by_channel.mean, dtype=torch.float64)
        self._fill = (means * 255).round().clamp(0, 255).to(torch.uint8).to(self.device)

    def __len__(self) -> int:
        whole, rest = divmod(self.num_samples, self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[Batch]:
        return _Pass(self)

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch; the epoch under way keeps its position."""
        if epoch != self._epoch:
            self._epoch, self._position, self._is_resumed = epoch, 0, False

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to."""
        return self._epoch

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is, as plain numbers; the batch last handed out counts as done.

        After a pass that was left early this means: go on with it. Who ends epochs early calls ``set_epoch`` first.
        """
        return {"epoch": self._epoch, "position": self._position, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another loader was. ``rank`` and ``world_size`` may differ.

        Raises:
            IntegrityError: the state is of another split, seed or batch size.
        """
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise IntegrityError(
                    f"the checkpoint's {name} of the loader must be {value}, got {state.get(name)}; "
                    "go on with the settings and data it was made with, or train anew"
                )
        self._epoch, self._position = int(state["epoch"]), int(state["position"])
        self._is_resumed = True

    def gather(self, indices: Sequence[int] | Tensor) -> tuple[Tensor, Tensor]:
        """Images as a network sees them, not augmented, and labels of some positions of the split."""
        rows = torch.as_tensor(indices, dtype=torch.int64).to(self.device)
        return self._normalised(self._select(rows)), self._labels.index_select(0, rows)

    def order(self, epoch: int) -> Tensor:
        """All indices in the order of an epoch, int64 ``(N,)`` on the CPU."""
        if not self.shuffle:
            return torch.arange(self.num_samples)
        return torch.randperm(self.num_samples, generator=_generator("order", self.order_seed, epoch))

    def draws(self, epoch: int) -> Draws:
        """The augmentation's draws of an epoch for every image of the split."""
        if self.augment is None:
            return {}
        generator = _generator("augment", self.augment_seed, epoch)
        height, width = self._store.shape[2:]
        draws = self.augment.draw(generator, self.num_samples, height, width)
        return {name: values.to(self.device) for name, values in draws.items()}

    def batch(self, indices: Tensor, draws: Draws) -> Batch:
        """The images of ``indices`` (int64, on the device), augmented with their rows of ``draws``."""
        images = self._select(indices)
        if self.augment is not None and len(indices):
            rows = {name: values.index_select(0, indices) for name, values in draws.items()}
            images = self.augment.apply(images, rows, self._fill)
        return self._normalised(images), self._labels.index_select(0, indices), indices

    def part(self, position: int) -> tuple[int, int]:
        """Start and end, within an epoch's order, of this rank's part of a global batch."""
        start = position * self.batch_size
        size = min(self.batch_size, self.num_samples - start)
        return start + size * self.rank // self.world_size, start + size * (self.rank + 1) // self.world_size

    def _begin(self) -> tuple[int, int]:
        """Epoch and position at which a pass starts; called with its first batch, not before."""
        if self._position and not self._is_resumed:  # the last pass was left early
            self._epoch, self._position = self._epoch + 1, 0
        self._is_resumed = False
        return self._epoch, self._position

    def _handed_out(self, epoch: int, position: int) -> None:
        # At the last batch already: whoever counts batches never asks for one more.
        is_over = position + 1 == len(self)
        self._epoch, self._position = (epoch + 1, 0) if is_over else (epoch, position + 1)

    def _select(self, indices: Tensor) -> Tensor:
        """Images of the store ``(B, C, H, W)``, in the loader's memory format."""
        if self.channels_last:
            return self._store.permute(0, 2, 3, 1).index_select(0, indices).permute(0, 3, 1, 2)
        return self._store.index_select(0, indices)

    def _normalised(self, images: Tensor) -> Tensor:
        if self._by_channel is None:
            return images
        if not self.channels_last:
            channels = (1, -1, 1, 1)
            return images.float().mul_(self._scale.view(channels)).add_(self._shift.view(channels))
        batch, channel_count, height, width = images.shape
        # Rows of W * C values: PyTorch is ten times slower where the last axis is only C long.
        rows = images.permute(0, 2, 3, 1).reshape(batch, height, width * channel_count)
        rows = rows.float().mul_(self._scale.repeat(width)).add_(self._shift.repeat(width))
        return rows.view(batch, height, width, channel_count).permute(0, 3, 1, 2)

    def _identity(self) -> dict[str, Any]:
        return {
            "num_samples": self.num_samples,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
            "order_seed": self.order_seed,
            "augment_seed": self.augment_seed,
        }

    def _check_batches(self) -> None:
        if len(self) == 0:
            raise ConfigError(
                f"batch_size must be at most {self.num_samples} (the images of the split) with drop_last, "
                f"got {self.batch_size}; lower it"
            )
        smallest = self.num_samples if len(self) == 1 else self.batch_size
        if not self.drop_last and self.num_samples % self.batch_size:
            smallest = self.num_samples % self.batch_size
        if self.shuffle and smallest < self.world_size:
            raise ConfigError(
                f"batch_size must leave each of the {self.world_size} ranks an image of every batch, "
                f"got {self.batch_size}, of which the smallest batch has {smallest}; change it or use drop_last"
            )


class _Pass(Iterator[Batch]):
    """One pass; it touches the loader's state only when a batch is asked for."""

    def __init__(self, loader: BatchLoader) -> None:
        self._loader = loader
        self._epoch = -1
        self._position = -1
        self._order = torch.empty(0)
        self._draws: Draws = {}

    def __next__(self) -> Batch:
        loader = self._loader
        if self._position < 0:
            self._epoch, self._position = loader._begin()
            self._order = loader.order(self._epoch).to(loader.device)
            self._draws = loader.draws(self._epoch)
        if self._position >= len(loader):
            raise StopIteration
        start, end = loader.part(self._position)
        batch = loader.batch(self._order[start:end], self._draws)
        loader._handed_out(self._epoch, self._position)
        self._position += 1
        return batch


def _store(images: npt.NDArray[Any], device: torch.device, channels_last: bool) -> Tensor:
    """Images ``(N, H, W, C)`` as ``(N, C, H, W)`` on the device, laid out in the wanted format."""
    images = images if images.flags.writeable else images.copy()  # torch warns of read-only memory
    store = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
    return store if channels_last else store.contiguous()


def _prepared_store(
    images: npt.NDArray[np.uint8], preprocessing: Preprocessing, device: torch.device, channels_last: bool
) -> Tensor:
    """As ``_store``, of prepared images, float32; beside it only a part of them is ever held."""
    count, height, width, channels = images.shape
    if channels_last:
        store = torch.empty((count, height, width, channels), device=device).permute(0, 3, 1, 2)
    else:
        store = torch.empty((count, channels, height, width), device=device)
    for start in range(0, count, _CHUNK):
        part = preprocessing.apply(images[start : start + _CHUNK])
        store[start : start + _CHUNK] = torch.from_numpy(part).to(device).permute(0, 3, 1, 2)
    return store


def _generator(purpose: str, seed: int, epoch: int) -> torch.Generator:
    """A stream of its own for each purpose, seed and epoch; always on the CPU, so that every device draws alike."""
    digest = hashlib.sha256(f"{purpose}/{seed}/{epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
