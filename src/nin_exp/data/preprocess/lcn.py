"""Local contrast normalisation of single images: subtractive, then divisive.

After Jarrett, Kavukcuoglu, Ranzato, LeCun 2009, What Is the Best Multi-Stage Architecture for Object Recognition?,
section 2, in the form that Maxout (Goodfellow et al. 2013, arXiv 1302.4389, section 5.5; pylearn2's ``LeCunLCN``) and,
after it, Network in Network use for SVHN: each colour channel on its own, a Gaussian window of 7x7 with deviation 2.
Two deliberate differences from pylearn2. Windows that reach over the border are averages of what lies inside, so that
a border is no edge. The divisor is the deviation around the local mean, as in the paper, and not the local norm of the
raw values. The result then does not depend on an image's brightness and contrast, so that the global contrast
normalisation that Maxout's script puts before it would change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import Preprocessing
from nin_exp.data.preprocess.gcn import chunks

PAPER_WINDOW, PAPER_SIGMA, PAPER_THRESHOLD = 7, 2.0, 1e-4


@dataclass(frozen=True)
class LocalContrast(Preprocessing):
    """``v = x - local mean``, then ``v / max(c, s)``: ``s`` is the local deviation, ``c`` its mean over the image.

    Args:
        window: side of the Gaussian window in pixels; odd.
        sigma: its deviation in pixels.
        threshold: the least divisor, on the scale of ``image / 255``.
    """

    window: int
    sigma: float
    threshold: float

    def apply(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See ``Preprocessing``."""
        prepared = np.empty(images.shape, dtype=np.float32)
        rows_mean, columns_mean = (self.averages(side) for side in images.shape[1:3])
        for rows in chunks(images.shape):
            planes = images[rows].transpose(0, 3, 1, 2) / 255
            # A Gaussian is a product of two: one matrix averages along columns of pixels, the other along rows.
            centred = planes - rows_mean @ planes @ columns_mean.T
            deviation = np.sqrt(rows_mean @ centred**2 @ columns_mean.T)
            least = np.maximum(deviation.mean(axis=(2, 3), keepdims=True), self.threshold)
            prepared[rows] = (centred / np.maximum(deviation, least)).transpose(0, 2, 3, 1)
        return prepared

    def averages(self, side: int) -> npt.NDArray[np.float64]:
        """A matrix ``(side, side)``: row i holds the weights of the window around i, summing to 1."""
        distance = np.abs(np.arange(side)[:, None] - np.arange(side))
        weights = np.where(distance <= self.window // 2, np.exp(-(distance**2) / (2 * self.sigma**2)), 0.0)
        normalised: npt.NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
        return normalised

    def settings(self) -> dict[str, Any]:
        """See ``Preprocessing``."""
        return {"kind": "lcn", "window": self.window, "sigma": self.sigma, "threshold": self.threshold}
