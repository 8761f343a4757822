"""Dropout: values, or whole maps, set to zero at random during training.

Here p is the probability to *drop*, as in torch; some texts mean the one to keep.
"""

from __future__ import annotations

import numpy as np

from nin_exp.reference.activations import elementwise
from nin_exp.reference.layout import Array, random_like
from nin_exp.reference.module import Layer


class Dropout(Layer):
    """y = x m / (1 - p) with m = 0 with probability p, else 1; in evaluation y = x.

    Args:
        p: the probability to drop, from 0 to 1.
        rng: draws the masks.

    Source: Srivastava et al. 2014, with the scaling moved to training ("inverted"). Any shape.
    """

    def __init__(self, p: float, *, rng: np.random.Generator) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], the probability to drop, got {p}")
        self.p = p
        self.rng = rng

    def forward(self, x: Array) -> Array:
        """Drop and scale, or pass through."""
        if not self.training or self.p == 0:
            self.keep(None)
            return x
        mask = self._mask(x)
        self.keep(mask)
        return self._apply(mask, x)

    def backward(self, grad_output: Array) -> Array:
        """``dx = dy m / (1 - p)``, with the mask of the forward pass."""
        (mask,) = self.kept()
        return grad_output if mask is None else self._apply(mask, grad_output)

    def _apply(self, mask: Array, x: Array) -> Array:
        if self.p == 1:
            return np.zeros_like(x)
        scale = x.dtype.type(1 / (1 - self.p))
        return elementwise(lambda part, out: np.multiply(x[part] * mask[part], scale, out=out), x)

    def _mask(self, x: Array) -> Array:
        return random_like(x, self.rng) >= np.float32(self.p)


class Dropout2d(Dropout):
    """Dropout of whole maps: one draw for each image and channel (Tompson et al. 2015, section 3.2).

    y[n, c] = x[n, c] m[n, c] / (1 - p). Neighbouring values of a map are alike, so dropping single ones hides little.
    Shapes: ``(N, C, H, W)`` to the same.
    """

    def _mask(self, x: Array) -> Array:
        return self.rng.random((*x.shape[:2], 1, 1), dtype=np.float32) >= np.float32(self.p)
