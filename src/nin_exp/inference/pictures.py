"""Draw images, maps and captions with Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from nin_exp.inference.images import Levels
from nin_exp.inference.maps import Box, FloatMap, enlarge
from nin_exp.inference.text import printable

CELL = 192
"""Side of one picture in a sheet, in pixels."""

GAP, CAPTION = 8, 20
_BACKGROUND, _INK, _BOX = (255, 255, 255), (32, 32, 32), (0, 255, 255)
# Dark to bright evenly, so that it reads in grey as well (after matplotlib's inferno).
_ANCHORS = [
    (0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99),
    (212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164),
]  # fmt: skip
_POSITIONS = np.linspace(0, 255, len(_ANCHORS))
_COLOURS = np.stack([np.interp(np.arange(256), _POSITIONS, c) for c in zip(*_ANCHORS, strict=True)], axis=1)
_OPACITY = 0.65


def magnified(image: Levels, side: int) -> Image.Image:
    """The image with its longer side at ``side`` pixels; small images keep their pixels visible."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BILINEAR
    return Image.fromarray(np.ascontiguousarray(image)).resize(size, how)


def scaled(values: FloatMap, highest: float | None = None) -> FloatMap:
    """A map from 0 to 1: negative values are 0, ``highest`` (default: the map's own maximum) is 1."""
    top = float(values.max()) if highest is None else highest
    if not top > 0:
        return np.zeros_like(values)
    clipped: FloatMap = np.clip(values / np.float32(top), 0, 1)
    return clipped


def heat_map(values: FloatMap, width: int, height: int) -> Image.Image:
    """A scaled map ``(h, w)`` in colours."""
    large = np.clip(enlarge(values, width, height), 0, 1)
    return Image.fromarray(_COLOURS[np.rint(large * 255).astype(int)].astype(np.uint8))


def overlay(image: Levels, values: FloatMap, side: int) -> Image.Image:
    """The image with a map laid over it, more opaque where the map is higher.

    Args:
        values: a scaled map, of any size.
    """
    picture = magnified(image, side)
    heat = np.clip(enlarge(values, picture.width, picture.height), 0, 1)[:, :, None]
    below = np.asarray(picture.convert("L").convert("RGB"), dtype=np.float32) * 0.5 + np.asarray(picture) * 0.5
    colours = np.asarray(heat_map(values, picture.width, picture.height), dtype=np.float32)
    opacity = _OPACITY * np.sqrt(heat)
    return Image.fromarray(np.rint(below * (1 - opacity) + colours * opacity).astype(np.uint8))


def placed_box(box: Box, width: int, height: int, picture: Image.Image) -> Box:
    """A box in pixels of an image ``(height, width)``, in pixels of its picture: corners, the last ones inclusive."""
    across, down = picture.width / width, picture.height / height
    left, top, right, bottom = box
    return (
        round(left * across),
        round(top * down),
        max(round(left * across), round(right * across) - 1),
        max(round(top * down), round(bottom * down) - 1),
    )


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet.

    Args:
        picture: at most ``CELL`` pixels wide and high.
        box: its corners in pixels of the picture, drawn over it; None for none.
    """

    picture: Image.Image
    caption: str
    is_bold: bool = False
    box: Box | None = None

    def drawn(self) -> Image.Image:
        """The picture with its box and caption."""
        picture = self.picture.copy()
        if self.box is not None:
            ImageDraw.Draw(picture).rectangle(self.box, outline=_BOX, width=2)
        return captioned(picture, self.caption, bold=self.is_bold)


def captioned(picture: Image.Image, caption: str, *, bold: bool = False) -> Image.Image:
    """A cell of a sheet: the picture centred on a square, one line of text below it."""
    cell = Image.new("RGB", (CELL, CELL + CAPTION), _BACKGROUND)
    cell.paste(picture, ((CELL - picture.width) // 2, (CELL - picture.height) // 2))
    draw, font = ImageDraw.Draw(cell), _font()
    text = _shortened(draw, printable(caption), font)
    draw.text((CELL // 2, CELL + 2), text, fill=_INK, font=font, anchor="ma", stroke_width=0.4 if bold else 0)
    return cell


def sheet(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Cells in rows, on white."""
    columns = max(len(row) for row in rows)
    width = columns * CELL + (columns + 1) * GAP
    height = len(rows) * (CELL + CAPTION) + (len(rows) + 1) * GAP
    whole = Image.new("RGB", (width, height), _BACKGROUND)
    for row_number, row in enumerate(rows):
        for column, cell in enumerate(row):
            whole.paste(cell, (GAP + column * (CELL + GAP), GAP + row_number * (CELL + CAPTION + GAP)))
    return whole


def filter_grid(filters: npt.NDArray[np.float32]) -> Image.Image:
    """Filters ``(F, C, h, w)`` as tiles: colours for 3 channels, else one grey tile a channel, a row a filter.

    Each filter is scaled by its own largest weight; grey is 0.
    """
    count, channels, height, width = filters.shape
    peak = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    levels = np.rint(127.5 + 127.5 * filters / np.where(peak > 0, peak, 1)).astype(np.uint8)
    if channels == 3:
        tiles = list(levels.transpose(0, 2, 3, 1))
    else:
        tiles = [np.repeat(plane[:, :, None], 3, axis=2) for one in levels for plane in one]
    factor = max(1, 48 // max(height, width))
    columns = channels if channels not in (1, 3) else int(np.ceil(np.sqrt(count * 1.6)))
    rows = -(-len(tiles) // columns)
    across, down = width * factor + 3, height * factor + 3
    grid = Image.new("RGB", (columns * across + 3, rows * down + 3), _BACKGROUND)
    for number, tile in enumerate(tiles):
        picture = Image.fromarray(np.ascontiguousarray(tile)).resize((width * factor, height * factor), 0)
        grid.paste(picture, (3 + number % columns * across, 3 + number // columns * down))
    return grid


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(13)


def _shortened(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    if not isinstance(font, ImageFont.FreeTypeFont):  # Pillow without FreeType: a bitmap font of Latin letters
        text = text.encode("latin-1", "replace").decode("latin-1")
    short = text
    while draw.textlength(short, font=font) > CELL and len(short) > 2:
        short = short[:-2] + "…" if isinstance(font, ImageFont.FreeTypeFont) else short[:-1]
    return short
