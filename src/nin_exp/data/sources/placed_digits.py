"""The embedded digits at random places on a larger black canvas, each with its true box.

With it one can measure what global average pooling is said to bring: indifference to shifts, and class maps that say
where the class was seen, although training never showed a place. After the "cluttered/translated MNIST" of
Mnih et al. 2014 (arXiv 1406.6247, section 4.1), without clutter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from nin_exp.contracts.data import DataSource, ImageArrays, LoadedData
from nin_exp.data.location import Location
from nin_exp.data.sources.digits import NUM_CLASSES, SIDE, locate_digits, read_digits, refuse_source
from nin_exp.errors import ConfigError
from nin_exp.ranges import NonNegativeInt, PositiveInt, check_fields


@dataclass(frozen=True, kw_only=True)
class PlacedDigits(DataSource):
    """Digits at random places; further arguments as in ``DataSource``, ``source`` must be None.

    Every digit stands on one canvas; test canvases hold test digits of ``digits`` only.

    Args:
        canvas: height and width of the canvas in pixels.
        digit_size: height and width in pixels to which the 8x8 digits are enlarged (bilinear); at most ``canvas``.
        placement_seed: of the places. It belongs to the data, like the pictures themselves: no seed of a run moves it.
    """

    canvas: PositiveInt
    digit_size: PositiveInt
    placement_seed: NonNegativeInt

    def __post_init__(self) -> None:
        check_fields(self)
        refuse_source(self.source, "placed_digits")
        if not SIDE <= self.digit_size <= self.canvas:
            raise ConfigError(f"dataset.digit_size must lie in [{SIDE}, canvas={self.canvas}], got {self.digit_size}")

    def locate(self, data_dir: Path) -> Location:
        """Embedded (see ``Locatable``)."""
        return locate_digits(self.canvas)

    def load(self, data_dir: Path) -> LoadedData:
        """Make the canvases; ``data_dir`` is not used (see ``DataSource``)."""
        digits = read_digits()
        images, boxes = self._place(digits.images)
        splits = [
            ImageArrays(images[rows][..., None], digits.labels[rows], boxes[rows])
            for rows in (~digits.is_test, digits.is_test)
        ]
        return LoadedData(splits[0], splits[1], tuple(str(digit) for digit in range(NUM_CLASSES)))

    def _place(self, digits: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        room = self.canvas - self.digit_size + 1
        # The raw stream of PCG64 never changes between versions of NumPy. 64 bits: the bias of % is nil.
        draws = np.random.PCG64(self.placement_seed).random_raw(2 * len(digits)).reshape(-1, 2)
        tops, lefts = (draws % np.uint64(room)).astype(np.int64).T
        size = (self.digit_size, self.digit_size)
        images = np.zeros((len(digits), self.canvas, self.canvas), dtype=np.uint8)
        boxes = np.empty((len(digits), 4), dtype=np.int64)
        for row, (digit, top, left) in enumerate(zip(digits, tops, lefts, strict=True)):
            large = np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.BILINEAR))
            images[row, top : top + self.digit_size, left : left + self.digit_size] = large
            boxes[row] = _ink_box(large) + np.array([left, top, left, top])
        return images, boxes


def _ink_box(digit: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Left, top, right, bottom (exclusive) of all that is not black."""
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.int64)
