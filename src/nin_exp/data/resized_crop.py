"""Random crops resized to the whole image, as for ImageNet, with a crop of its own for every image.

Source: "Inception" cropping, Szegedy et al. 2015 (arXiv 1409.4842, section 6), in torchvision's form
(``RandomResizedCrop``): the same crops are equally probable here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from nin_exp.contracts.augment import Augmentation, Draws
from nin_exp.errors import ConfigError
from nin_exp.ranges import PositiveFloat, validated

_ATTEMPTS = 10


class ResizedCrop(Augmentation):
    """Crop a random part and stretch it to the image's size, bilinear.

    A crop is never larger than its image, so that it is only ever enlarged: no filter against aliasing is needed.

    Args:
        scale: least and greatest share of the image's area, in (0, 1].
        ratio: least and greatest width / height of the crop, drawn evenly on a logarithmic scale.

    Raises:
        ConfigError: a pair is none, not in order, or a share exceeds 1.
    """

    @validated
    def __init__(self, *, scale: list[PositiveFloat], ratio: list[PositiveFloat]) -> None:
        for name, pair in (("scale", scale), ("ratio", ratio)):
            if len(pair) != 2 or pair[0] > pair[1]:
                raise ConfigError(f"augment.{name} must be [least, greatest], got {list(pair)}; such as [0.5, 1.0]")
        if scale[1] > 1:
            raise ConfigError(f"augment.scale must be at most 1, the whole image, got {list(scale)}; lower it")
        self.scale, self.ratio = tuple(scale), tuple(ratio)

    @property
    def is_identity(self) -> bool:
        """See ``Augmentation``; crops of the whole area still change the ratio."""
        return set(self.scale + self.ratio) == {1.0}

    def check_images(self, height: int, width: int, channels: int, *, are_levels: bool) -> None:
        """See ``Augmentation``; every image will do."""

    def draw(self, generator: torch.Generator, num_samples: int, height: int, width: int) -> Draws:
        """Draw int64 ``top left tall wide``, each ``(N,)``: the crops in pixels."""
        device = generator.device
        uniform = torch.rand((4, num_samples, _ATTEMPTS), generator=generator, device=device)
        areas = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * uniform[0])
        low, high = (math.log(value) for value in self.ratio)
        ratios = torch.exp(low + (high - low) * uniform[1])
        wide = (areas * ratios).sqrt().round().long()
        tall = (areas / ratios).sqrt().round().long()
        fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
        first = fits.int().argmax(1, keepdim=True)  # the first that fits; 0 where none does
        wide, tall = (values.gather(1, first).squeeze(1) for values in (wide, tall))
        left = _up_to(width - wide, uniform[2, :, 0])
        top = _up_to(height - tall, uniform[3, :, 0])
        none_fits = ~fits.any(1)
        central = dict(zip(("top", "left", "tall", "wide"), self._central(height, width), strict=True))
        found = {"top": top, "left": left, "tall": tall, "wide": wide}
        return {name: torch.where(none_fits, central[name], values) for name, values in found.items()}

    def _central(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The crop where none of ten draws fitted: the largest in the middle whose ratio is allowed."""
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        wide, tall = min(width, round(height * ratio)), min(height, round(width / ratio))
        return (height - tall) // 2, (width - wide) // 2, max(1, tall), max(1, wide)

    def apply(self, images: Tensor, draws: Draws, fill: Tensor | None = None) -> Tensor:
        """See ``Augmentation``; float32, levels are not rounded."""
        height, width = images.shape[2:]
        rows = _places(draws["top"], draws["tall"], height)
        columns = _places(draws["left"], draws["wide"], width)
        # -1 and 1 are the outer sides of the border pixels.
        grid = torch.stack(
            [
                ((2 * columns + 1) / width - 1)[:, None, :].expand(-1, height, -1),
                ((2 * rows + 1) / height - 1)[:, :, None].expand(-1, -1, width),
            ],
            dim=-1,
        )
        memory_format = (
            torch.channels_last
            if images.shape[1] > 1 and images.is_contiguous(memory_format=torch.channels_last)
            else torch.contiguous_format
        )
        cropped = functional.grid_sample(
            images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        return cropped.contiguous(memory_format=memory_format)


def _places(start: Tensor, size: Tensor, side: int) -> Tensor:
    """Where each of ``side`` pixels comes from, float32 ``(B, side)``; never outside the crop."""
    steps = torch.arange(side, device=start.device) + 0.5
    inside = (steps * (size[:, None] / side) - 0.5).clamp(min=0)
    return start[:, None] + torch.minimum(inside, size[:, None] - 1.0)


def _up_to(highest: Tensor, uniform: Tensor) -> Tensor:
    """Whole numbers 0 … highest, equally probable; ``uniform`` in [0, 1)."""
    return torch.minimum((uniform * (highest + 1)).long(), highest).clamp(min=0)
