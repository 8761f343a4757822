"""Whether an exported file says what the run says; a file that does not is never written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nin_exp.errors import RefusedError
from nin_exp.inference.export.sample import SampleImages
from nin_exp.inference.images import Levels
from nin_exp.inference.predict import Predictor

TOLERANCE = 1e-4
"""Of probabilities; float32 kernels that sum in another order differ by some 1e-6."""

Outputs = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Probabilities and logits, each ``(N, K)``."""


@dataclass(frozen=True)
class Agreement:
    """How far an exported file and the run were apart.

    Args:
        images: what was compared on, in words.
        max_probability_difference: the largest over all images and classes.
        max_logit_difference: the same of the logits.
    """

    images: str
    num_images: int
    max_probability_difference: float
    max_logit_difference: float


def check_agreement(predictor: Predictor, sample: SampleImages, exported: Callable[[Levels], Outputs]) -> Agreement:
    """Compare an exported file with the run in float32, image by image.

    Raises:
        RefusedError: the most probable class of an image differs, or a probability by more than ``TOLERANCE``.
    """
    wanted = replace(predictor, autocast_dtype=None).logits(sample.levels)
    wanted_probabilities = wanted.softmax(1).numpy()
    probabilities, logits = exported(sample.levels)
    gap = float(np.abs(probabilities - wanted_probabilities).max())
    num_other = int((probabilities.argmax(1) != wanted_probabilities.argmax(1)).sum())
    if num_other or not gap <= TOLERANCE:
        raise RefusedError(
            f"an exported file must say what the run says, but on {sample.words} probabilities differ by up to "
            f"{gap:.2g} (at most {TOLERANCE:g}) and the class of {num_other}; nothing was written, use another --format"
        )
    return Agreement(sample.words, len(sample.levels), gap, float(np.abs(logits - wanted.numpy()).max()))
