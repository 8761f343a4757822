"""Other image sizes than the network was trained on, for networks that take any."""

from __future__ import annotations

from typing import Any

from nin_exp.contracts.data import ImageArrays
from nin_exp.data.resize import resize_images
from nin_exp.errors import ConfigError
from nin_exp.evaluation.predictor import Predict

FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


def resize_curve(predict: Predict, arrays: ImageArrays) -> dict[str, Any] | None:
    """Accuracy by the side of the test images; None for images that are not square.

    Returns:
        ``side`` in pixels; ``acc``, None at sizes that a layer of the network does not take.
    """
    height, width = arrays.images.shape[1:3]
    if height != width:
        return None
    sides = [round(height * factor) for factor in FACTORS]
    return {"side": sides, "acc": [_accuracy(predict, arrays, side) for side in sides]}


def _accuracy(predict: Predict, arrays: ImageArrays, side: int) -> float | None:
    resized = ImageArrays(resize_images(arrays.images, side), arrays.labels)
    try:
        answers = predict(resized).logits.argmax(1).numpy()
    except (ConfigError, RuntimeError, ValueError) as error:
        if "out of memory" in str(error) or "can't allocate" in str(error):
            raise
        return None
    return float((answers == arrays.labels).mean())
