"""Losses: ``forward`` gives the value, ``backward`` the gradient of that very value.

With ``reduction="mean"`` both are divided by the same count, with "sum" neither is. As in torch, the mean of
CrossEntropy is over the N images, that of MSE over all values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import numpy.typing as npt

from nin_exp.reference.activations import log_softmax
from nin_exp.reference.layout import Array

Reduction = Literal["mean", "sum"]


class Loss(ABC):
    """A scalar function of predictions and targets."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction must be one of mean, sum, got '{reduction}'")
        self.reduction = reduction
        self._gradient: Array | None = None

    @abstractmethod
    def forward(self, predictions: Array, targets: Array) -> float:
        """The loss of a batch."""

    def __call__(self, predictions: Array, targets: Array) -> float:
        return self.forward(predictions, targets)

    def backward(self) -> Array:
        """The gradient with respect to the predictions of the last ``forward``.

        Raises:
            RuntimeError: called before ``forward``.
        """
        if self._gradient is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs a forward pass first")
        return self._gradient.copy()


class CrossEntropy(Loss):
    """L = - sum over n, k of q[n, k] log softmax(z[n])_k, divided by N for the mean.

    q is 1 for the label's class, or (1 - epsilon) of that plus epsilon / K for every class. Then
    dL/dz = softmax(z) - q (divided by N for the mean). The softmax is inside: give logits.

    Args:
        reduction: "mean" or "sum".
        label_smoothing: epsilon, from 0 to 1 (Szegedy et al. 2016, section 7).

    Shapes: z ``(N, K)``; labels ``(N,)`` or q ``(N, K)``; L one number.
    """

    def __init__(self, reduction: Reduction = "mean", label_smoothing: float = 0.0) -> None:
        super().__init__(reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must lie in [0, 1], got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def forward(self, predictions: Array, targets: Array) -> float:
        """The loss of logits.

        Args:
            predictions: logits z ``(N, K)``.
            targets: labels ``(N,)`` of integers from 0 to K - 1, or class probabilities ``(N, K)``.

        Raises:
            ValueError: a shape, dtype or label does not fit.
        """
        q = self._target_distribution(predictions, targets)
        log_p = log_softmax(predictions, axis=1)
        divisor = predictions.dtype.type(len(predictions) if self.reduction == "mean" else 1)
        self._gradient = (np.exp(log_p) * q.sum(axis=1, keepdims=True) - q) / divisor
        # 0 log 0 is 0: a class without weight adds nothing, even at a logit of -inf
        terms = np.multiply(q, log_p, where=q != 0, out=np.zeros_like(q))
        return -float(terms.sum() / divisor)

    def _target_distribution(self, logits: Array, targets: Array) -> Array:
        if logits.ndim != 2 or len(logits) < 1:
            raise ValueError(f"logits must be (N, K) with N at least 1, got {logits.shape}")
        n, num_classes = logits.shape
        if np.issubdtype(targets.dtype, np.integer):
            if targets.shape != (n,):
                raise ValueError(f"labels must be ({n},) for logits {logits.shape}, got {targets.shape}")
            if targets.min() < 0 or targets.max() >= num_classes:
                wrong = targets[(targets < 0) | (targets >= num_classes)][0]
                raise ValueError(f"labels must lie in [0, {num_classes - 1}] for {num_classes} logits, got {wrong}")
            q = np.zeros_like(logits)
            q[np.arange(n), targets] = 1
        elif targets.shape == logits.shape:
            q = targets.astype(logits.dtype)
        else:
            raise ValueError(
                f"targets must be integers (N,) or probabilities (N, K), got {targets.dtype} {targets.shape}"
            )
        q *= 1 - self.label_smoothing
        q += self.label_smoothing / num_classes
        return q


class MSE(Loss):
    """L = sum of (y - t)^2, divided by the number of values for the mean; dL/dy = 2 (y - t), divided alike.

    Shapes: any, the same for both; L one number. Source: Rumelhart, Hinton and Williams 1986, eq. 3, without its 1/2.
    """

    def forward(self, predictions: Array, targets: Array) -> float:
        """The loss of values of any one shape.

        Raises:
            ValueError: the shapes differ; broadcasting would hide a mistake.
        """
        if predictions.shape != targets.shape:
            raise ValueError(f"targets must have the shape {predictions.shape} of y, got {targets.shape}")
        difference = predictions - targets.astype(predictions.dtype)
        divisor = predictions.dtype.type(predictions.size if self.reduction == "mean" else 1)
        self._gradient = 2 * difference / divisor
        return float(np.square(difference).sum() / divisor)


def one_hot(labels: npt.NDArray[np.integer], num_classes: int, dtype: npt.DTypeLike = np.float32) -> Array:
    """Labels ``(N,)`` as targets ``(N, K)`` for ``MSE``.

    >>> one_hot(np.array([1]), 3)
    array([[0., 1., 0.]], dtype=float32)
    """
    targets: Array = np.eye(num_classes, dtype=dtype)[labels]
    return targets
