"""Random brightness, contrast, saturation and hue, with draws and an order of its own for every image.

Each change as torchvision's ``ColorJitter`` does it; after Krizhevsky, Sutskever, Hinton 2012 (section 4.1) and
Howard 2013 (arXiv 1312.5402).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from nin_exp.contracts.augment import Augmentation, Draws
from nin_exp.errors import ConfigError
from nin_exp.ranges import NonNegativeFloat, Range, validated

HueShift = Annotated[float, Range(ge=0, le=0.5)]
_NAMES = ("brightness", "contrast", "saturation", "hue")
_GREY = (0.2989, 0.587, 0.114)  # ITU-R 601-2, as torchvision rounds it
_WHITE = 255.0


class ColorJitter(Augmentation):
    """Change the colours of levels 0 … 255.

    Args:
        brightness: levels are multiplied by 1 - b … 1 + b, not below 0.
        contrast: distances from the image's mean grey level are, likewise.
        saturation: distances from the pixel's own grey level are, likewise; nothing to do in grey images.
        hue: is turned by up to this part of the colour circle either way, in [0, 0.5]; nothing to do in grey images.
    """

    @validated
    def __init__(
        self,
        *,
        brightness: NonNegativeFloat,
        contrast: NonNegativeFloat,
        saturation: NonNegativeFloat,
        hue: HueShift,
    ) -> None:
        self.amounts = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}

    @property
    def is_identity(self) -> bool:
        """See ``Augmentation``."""
        return not any(self.amounts.values())

    def check_images(self, height: int, width: int, channels: int, *, are_levels: bool) -> None:
        """See ``Augmentation``; levels of grey or of red, green and blue.

        Raises:
            ConfigError: the images are others.
        """
        if self.is_identity:
            return
        name = next(name for name, amount in self.amounts.items() if amount)
        if not are_levels:
            raise ConfigError(
                f"augment.{name} must be 0 with dataset.preprocess=gcn, gcn_zca or lcn, which leave no colours, "
                f"got {self.amounts[name]:g}; use preprocess=standardize"
            )
        if channels not in (1, 3):
            raise ConfigError(
                f"augment.{name} must be 0 for images of {channels} channels, which are no colours, "
                f"got {self.amounts[name]:g}"
            )

    def draw(self, generator: torch.Generator, num_samples: int, height: int, width: int) -> Draws:
        """Draw a factor float32 ``(N,)`` of each change, and ``order`` int64 ``(N, 4)``: the change at each turn."""

        def uniform(*shape: int) -> Tensor:
            return torch.rand((num_samples, *shape), generator=generator, device=generator.device)

        draws = {"order": uniform(len(_NAMES)).argsort(1)}
        for name, amount in self.amounts.items():
            if amount:
                low = -amount if name == "hue" else max(0.0, 1 - amount)
                high = amount if name == "hue" else 1 + amount
                draws[name] = low + (high - low) * uniform()
        return draws

    def apply(self, images: Tensor, draws: Draws, fill: Tensor | None = None) -> Tensor:
        """See ``Augmentation``; float32, levels are not rounded."""
        changes: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "brightness": _brightness,
            "contrast": _contrast,
            "saturation": _saturation,
            "hue": _hue,
        }
        changed = images.float() if images.dtype == torch.uint8 else images.clone()
        if changed.shape[1] != 3:
            del changes["saturation"], changes["hue"]
        for turn in range(len(_NAMES)):
            for number, name in enumerate(_NAMES):
                if name not in draws or name not in changes:
                    continue
                rows = (draws["order"][:, turn] == number).nonzero().squeeze(1)
                if len(rows):
                    factors = draws[name].index_select(0, rows).view(-1, 1, 1, 1)
                    changed.index_copy_(0, rows, changes[name](changed.index_select(0, rows), factors))
        return changed


def _grey(images: Tensor) -> Tensor:
    """Grey levels ``(B, 1, H, W)``."""
    if images.shape[1] != 3:
        return images
    red, green, blue = images.unbind(1)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue).unsqueeze(1)


def _between(images: Tensor, others: Tensor | float, factors: Tensor) -> Tensor:
    return (factors * images + (1 - factors) * others).clamp(0, _WHITE)


def _brightness(images: Tensor, factors: Tensor) -> Tensor:
    return _between(images, 0.0, factors)


def _contrast(images: Tensor, factors: Tensor) -> Tensor:
    return _between(images, _grey(images).mean((1, 2, 3), keepdim=True), factors)


def _saturation(images: Tensor, factors: Tensor) -> Tensor:
    return _between(images, _grey(images), factors)


def _hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue in HSV, as by Smith 1978; ``turns`` of the whole circle."""
    red, green, blue = images.unbind(1)
    value, lowest = images.amax(1), images.amin(1)
    chroma = value - lowest
    divisor = torch.where(chroma == 0, 1.0, chroma)
    sixths = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    sixths = sixths + 6 * turns.squeeze(1)

    def channel(offset: int) -> Tensor:
        place = (offset + sixths) % 6
        return value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)

    return torch.stack([channel(5), channel(3), channel(1)], dim=1)
