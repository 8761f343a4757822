"""What the measures take: a trained network, asked about images that they have changed."""

from __future__ import annotations

from collections.abc import Callable

from nin_exp.contracts.data import ImageArrays
from nin_exp.module.evaluate import Predictions

Predict = Callable[[ImageArrays], Predictions]
"""Images as they are stored, uint8 ``(N, H, W, C)``, to what the network says of them, in their order."""
