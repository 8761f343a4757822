"""Whether a network's probabilities can be believed, and one number that makes them more so."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import softmax
from torch import Tensor

NUM_BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0  # where a zero of the slope is looked for


def expected_calibration_error(probabilities: Tensor, labels: Tensor, num_bins: int) -> float:
    """Mean gap between confidence and accuracy over equal bins of confidence, weighted by their size.

    Args:
        probabilities: ``(N, K)``, rows summing to 1.
    """
    confidence, predicted = probabilities.max(1)
    hits = (predicted == labels).double()
    # Bins are (lower, upper], as in Guo's code; a confidence of exactly 0 cannot occur for K >= 1.
    bins = (confidence * num_bins).ceil().long().clamp(1, num_bins) - 1
    size = torch.zeros(num_bins, dtype=torch.float64).index_add_(0, bins, torch.ones_like(hits))
    hit_sum = torch.zeros(num_bins, dtype=torch.float64).index_add_(0, bins, hits)
    confidence_sum = torch.zeros(num_bins, dtype=torch.float64).index_add_(0, bins, confidence.double())
    return float((hit_sum - confidence_sum).abs().sum() / max(1.0, float(size.sum())))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T with which softmax(logits / T) has the smallest loss (Guo et al. 2017, arXiv 1706.04599, 4.2).

    The loss is convex in 1/T, so its slope has one zero, which is bracketed: no start, no step size. Where every
    example is right, it falls as T goes to 0: such a set says nothing of how sure to be, and T stays 1, as it does
    where all logits are alike. Worse than chance, it falls as T grows, and T is 100.

    Args:
        logits: ``(N, K)`` of validation.
        labels: ``(N,)``.
    """
    values = logits.double().numpy()
    values = values - values.max(1, keepdims=True)
    true = values[np.arange(len(values)), labels.numpy()]

    def slope(inverse: float) -> float:
        """Of the loss, by 1/T: what the softmax expects of the logits, less the true ones."""
        expected = (softmax(values * inverse, axis=1) * values).sum(1)
        return float((expected - true).mean())

    if not np.ptp(values, axis=1).any():
        return 1.0
    coldest, hottest = 1 / MIN_TEMPERATURE, 1 / MAX_TEMPERATURE
    if slope(hottest) >= 0:
        return MAX_TEMPERATURE
    if slope(coldest) <= 0:
        return 1.0
    logarithm = brentq(lambda x: slope(math.exp(x)), math.log(hottest), math.log(coldest), xtol=1e-12)
    return math.exp(-logarithm)
