"""Augmentation of photographs: crop and resize, mirror, change colours, in the order of the ImageNet recipes."""

from __future__ import annotations

import torch
from torch import Tensor

from nin_exp.contracts.augment import Augmentation, Draws
from nin_exp.data.augment import Augment
from nin_exp.data.color_jitter import ColorJitter, HueShift
from nin_exp.data.resized_crop import ResizedCrop
from nin_exp.ranges import NonNegativeFloat, PositiveFloat, validated


class PhotoAugment(Augmentation):
    """Random resized crop, horizontal flip, colour jitter; each with draws of its own for every image.

    Args:
        scale: least and greatest share of the image's area that a crop takes, in (0, 1].
        ratio: least and greatest width / height of the crop.
        flip: mirror left and right with probability 1/2.
        brightness: levels are multiplied by 1 - b … 1 + b.
        contrast: distances from the image's mean grey level are, likewise.
        saturation: distances from each pixel's grey level are, likewise.
        hue: is turned by up to this part of the colour circle, in [0, 0.5].

    Raises:
        ConfigError: a pair is not in order, or a share exceeds 1.
    """

    @validated
    def __init__(
        self,
        *,
        scale: list[PositiveFloat],
        ratio: list[PositiveFloat],
        flip: bool,
        brightness: NonNegativeFloat,
        contrast: NonNegativeFloat,
        saturation: NonNegativeFloat,
        hue: HueShift,
    ) -> None:
        parts: list[Augmentation] = [
            ResizedCrop(scale=scale, ratio=ratio),
            Augment(translate=0, flip=flip, cutout=0, pad_mode="zeros"),
            ColorJitter(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue),
        ]
        self.parts = [part for part in parts if not part.is_identity]

    @property
    def is_identity(self) -> bool:
        """See ``Augmentation``."""
        return not self.parts

    def check_images(self, height: int, width: int, channels: int, *, are_levels: bool) -> None:
        """See ``Augmentation``.

        Raises:
            ConfigError: colours are to be changed where there are none.
        """
        for part in self.parts:
            part.check_images(height, width, channels, are_levels=are_levels)

    def draw(self, generator: torch.Generator, num_samples: int, height: int, width: int) -> Draws:
        """The draws of all parts, whose names differ."""
        draws: Draws = {}
        for part in self.parts:
            draws |= part.draw(generator, num_samples, height, width)
        return draws

    def apply(self, images: Tensor, draws: Draws, fill: Tensor | None = None) -> Tensor:
        """See ``Augmentation``; float32, levels are not rounded."""
        for part in self.parts:
            images = part.apply(images, draws, fill)
        return images
