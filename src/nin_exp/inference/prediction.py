"""What a network says of one image, or why an image could not be read; NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Prediction:
    """What the network says of one image.

    Args:
        name: the path, or ``image N`` by position.
        logits: float32 ``(K,)``.
        probabilities: float64 ``(K,)``, summing to 1.
    """

    name: str
    class_names: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float64]

    @staticmethod
    def from_logits(name: str, class_names: tuple[str, ...], logits: npt.NDArray[np.float32]) -> Prediction:
        """One image's result; the softmax is taken in float64.

        Args:
            logits: ``(K,)``.
        """
        powers = np.exp(logits.astype(np.float64) - logits.max())
        return Prediction(name, class_names, logits, powers / powers.sum())

    @property
    def index(self) -> int:
        """Number of the most probable class."""
        return int(self.probabilities.argmax())

    @property
    def class_name(self) -> str:
        """The most probable class."""
        return self.class_names[self.index]

    @property
    def probability(self) -> float:
        """Probability of the most probable class."""
        return float(self.probabilities.max())

    def top(self, count: int) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities, highest first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.class_names[i], float(self.probabilities[i])) for i in order]


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read, and why."""

    name: str
    reason: str
