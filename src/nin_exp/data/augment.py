"""Augmentation of whole batches, with a draw of its own for every image.

torchvision's random transforms, called on a batch, draw once for all its images; these draw for each image of the
data set and are applied to a batch by index arithmetic. Sources: translation by padding and cropping, Goodfellow et
al. 2013 (Maxout, arXiv 1302.4389), used by Network in Network, section 4.2; cutout, DeVries and Taylor 2017
(arXiv 1708.04552).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from nin_exp.contracts.augment import Augmentation, Draws
from nin_exp.errors import ConfigError
from nin_exp.ranges import NonNegativeInt, validated


class Augment(Augmentation):
    """Random translation, horizontal flip, and cutout, in this order.

    Args:
        translate: move by up to this many pixels along each axis, each whole distance equally probable.
        flip: mirror left and right with probability 1/2.
        cutout: side in pixels of a square that is erased; its centre is any pixel, so it may stand half outside.
        pad_mode: what moves in from outside: ``zeros`` (level 0, black, as in torchvision's RandomCrop; where images
            were prepared before, as by gcn, 0 is their mean) or ``reflect`` (the image mirrored at its border pixels).
    """

    @validated
    def __init__(
        self, *, translate: NonNegativeInt, flip: bool, cutout: NonNegativeInt, pad_mode: Literal["zeros", "reflect"]
    ) -> None:
        self.translate = translate
        self.flip = flip
        self.cutout = cutout
        self.pad_mode = pad_mode

    @property
    def is_identity(self) -> bool:
        """Whether images stay as they are."""
        return self.translate == 0 and not self.flip and self.cutout == 0

    def check_images(self, height: int, width: int, channels: int, *, are_levels: bool) -> None:
        """See ``Augmentation``."""
        self.check_size(height, width)

    def check_size(self, height: int, width: int) -> None:
        """Hold the settings against the images.

        Raises:
            ConfigError: a distance or square does not fit into them.
        """
        for key, value in (("translate", self.translate), ("cutout", self.cutout)):
            if value >= min(height, width):
                raise ConfigError(
                    f"augment.{key} must be smaller than the {height}x{width} images, got {value}; "
                    "lower it or use augment=none"
                )

    def draw(self, generator: torch.Generator, num_samples: int, height: int, width: int) -> Draws:
        """Draw for ``num_samples`` images; row i of each tensor belongs to image i.

        Returns:
            int64 and bool ``(N,)`` on the generator's device: ``down right`` (pixels the window moves, so the content
            moves up and left), ``mirrored``, ``cut_row cut_column`` (the centre); without what is switched off.

        Raises:
            ConfigError: as ``check_size``.
        """
        self.check_size(height, width)
        draws: Draws = {}

        def integers(low: int, high: int) -> Tensor:
            return torch.randint(low, high, (num_samples,), generator=generator, device=generator.device)

        if self.translate > 0:
            draws["down"] = integers(-self.translate, self.translate + 1)
            draws["right"] = integers(-self.translate, self.translate + 1)
        if self.flip:
            draws["mirrored"] = integers(0, 2).bool()
        if self.cutout > 0:
            draws["cut_row"] = integers(0, height)
            draws["cut_column"] = integers(0, width)
        return draws

    def apply(self, images: Tensor, draws: Draws, fill: Tensor | None = None) -> Tensor:
        """Augment a batch.

        Args:
            images: ``(B, C, H, W)`` of any dtype, in either memory format, which is kept.
            draws: the rows of ``draw`` that belong to these images, on their device.
            fill: ``(C,)``, the level of erased squares; black when None.
        """
        _, channels, height, width = images.shape
        is_channels_last = channels > 1 and images.is_contiguous(memory_format=torch.channels_last)
        # Planes (B, L, H, W, U): L planes of rows that hold U values a pixel, so that one arithmetic serves both
        # memory formats and no value moves on the way there or back.
        planes = images.permute(0, 2, 3, 1).unsqueeze(1) if is_channels_last else images.contiguous().unsqueeze(-1)
        if "down" in draws:
            planes = self._cropped(self._padded(planes), draws["down"], draws["right"], height, width)
        if "mirrored" in draws:
            both = torch.cat([planes, planes.flip(3)])
            planes = both.index_select(0, _positions(planes) + len(planes) * draws["mirrored"].long())
        if "cut_row" in draws:
            level = torch.zeros(channels) if fill is None else fill
            planes = self._erased(planes, draws, level.to(device=images.device, dtype=images.dtype))
        return planes.squeeze(1).permute(0, 3, 1, 2) if is_channels_last else planes.squeeze(-1)

    def _padded(self, planes: Tensor) -> Tensor:
        pad = self.translate
        if self.pad_mode == "zeros":
            return functional.pad(planes, (0, 0, pad, pad, pad, pad))
        for axis in (2, 3):
            # functional.pad reflects floats only. The border pixel itself is not repeated.
            size = planes.shape[axis]
            before = planes.narrow(axis, 1, pad).flip(axis)
            after = planes.narrow(axis, size - 1 - pad, pad).flip(axis)
            planes = torch.cat([before, planes, after], dim=axis)
        return planes

    def _cropped(self, padded: Tensor, down: Tensor, right: Tensor, height: int, width: int) -> Tensor:
        """Take a window of ``height`` x ``width`` from each padded image, its corner at translate + (down, right).

        A row of a window is a run of consecutive memory: all runs of that length are one overlapping view, from which
        the wanted ones are selected. This copies rows, where a gather would copy values one by one.
        """
        batch, num_planes, padded_height, padded_width, values = padded.shape
        runs = padded.reshape(-1).unfold(0, width * values, 1)
        device = padded.device
        plane = torch.arange(batch * num_planes, device=device).view(batch, num_planes, 1)
        row = torch.arange(self.translate, self.translate + height, device=device) + down.view(-1, 1, 1)
        start = (plane * padded_height + row) * padded_width + (right + self.translate).view(-1, 1, 1)
        return runs.index_select(0, start.view(-1) * values).view(batch, num_planes, height, width, values)

    def _erased(self, planes: Tensor, draws: Draws, level: Tensor) -> Tensor:
        _, num_planes, height, width, values = planes.shape
        top, left = draws["cut_row"] - self.cutout // 2, draws["cut_column"] - self.cutout // 2
        rows = torch.arange(height, device=planes.device) - top.view(-1, 1)
        columns = (torch.arange(width, device=planes.device) - left.view(-1, 1)).repeat_interleave(values, dim=1)
        # Numbers and not booleans: PyTorch multiplies bytes in bulk, but combines booleans and selects one by one.
        rows_in = ((rows >= 0) & (rows < self.cutout)).to(planes.dtype)
        columns_in = ((columns >= 0) & (columns < self.cutout)).to(planes.dtype)
        erased = rows_in[:, None, :, None] * columns_in[:, None, None, :]
        level = level.repeat(width) if num_planes == 1 else level.view(1, -1, 1, 1)
        # Exact: one of the two factors is 0 and the other 1.
        kept = planes.flatten(3) * (1 - erased)
        return kept.add_(level * erased).view(planes.shape)


def _positions(planes: Tensor) -> Tensor:
    return torch.arange(len(planes), device=planes.device)
