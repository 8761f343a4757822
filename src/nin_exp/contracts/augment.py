"""What an augmentation is: draws of its own for every image, applied to whole batches."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

Draws = dict[str, Tensor]


class Augmentation(ABC):
    """Changes training images at random. One file a concept in ``nin_exp.data``, one YAML a choice."""

    @property
    @abstractmethod
    def is_identity(self) -> bool:
        """Whether images stay as they are."""

    @abstractmethod
    def check_images(self, height: int, width: int, channels: int, *, are_levels: bool) -> None:
        """Hold the settings against the images.

        Args:
            are_levels: whether images hold levels 0 … 255, and not values that a preprocessing made of them.

        Raises:
            ConfigError: a setting does not fit them.
        """

    @abstractmethod
    def draw(self, generator: torch.Generator, num_samples: int, height: int, width: int) -> Draws:
        """Draw for ``num_samples`` images; row i of each tensor, on the generator's device, belongs to image i."""

    @abstractmethod
    def apply(self, images: Tensor, draws: Draws, fill: Tensor | None = None) -> Tensor:
        """Augment a batch.

        Args:
            images: ``(B, C, H, W)`` in either memory format, which is kept; uint8 levels, or float32.
            draws: the rows of ``draw`` that belong to these images, on their device.
            fill: ``(C,)``, the value of erased places; 0 when None.

        Returns:
            Images of the same shape; uint8 may have become float32 levels.
        """
