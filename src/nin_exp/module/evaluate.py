"""Evaluate a network on a split, on every one of its examples; plain torch, no Lightning."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nin_exp.contracts.model import Network

Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Predictions:
    """What a network says of each example of a split, in the split's order.

    Args:
        logits: float32 ``(N, K)`` on the CPU.
        labels: int64 ``(N,)``.
    """

    logits: Tensor
    labels: Tensor


def predict(
    network: Network,
    batches: Iterable[Batch],
    *,
    autocast_dtype: torch.dtype | None = None,
    before_batch: Callable[[], None] = lambda: None,
) -> Predictions:
    """Run the network in evaluation mode over batches of (images, labels, indices); restores the mode.

    Args:
        before_batch: called before each batch, for example to stop on a signal.
    """
    was_training = network.training
    network.eval()
    logits, labels, indices = [], [], []
    try:
        with torch.inference_mode():
            for images, targets, positions in batches:
                before_batch()
                with torch.autocast(images.device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None):
                    logits.append(network(images).float().cpu())
                labels.append(targets.cpu())
                indices.append(positions.cpu())
    finally:
        network.train(was_training)
    order = torch.argsort(torch.cat(indices))
    return Predictions(logits=torch.cat(logits)[order].clone(), labels=torch.cat(labels)[order].clone())


def loss_and_accuracy(predictions: Predictions) -> tuple[float, float]:
    """Mean cross-entropy (nats, no label smoothing) and accuracy (a fraction)."""
    loss = functional.cross_entropy(predictions.logits.double(), predictions.labels)
    hits = (predictions.logits.argmax(1) == predictions.labels).double().mean()
    return float(loss), float(hits)


def metrics(predictions: Predictions, split: str) -> dict[str, float]:
    """The split's metrics, named ``split/name``: loss acc nll brier ece.

    ``brier`` is the sum over classes of squared errors, averaged over examples (Brier 1950); ``ece`` the
    expected calibration error with 15 equal bins (Guo et al. 2017).
    """
    loss, accuracy = loss_and_accuracy(predictions)
    probabilities = predictions.logits.double().softmax(1)
    truth = functional.one_hot(predictions.labels, probabilities.shape[1])
    brier = ((probabilities - truth) ** 2).sum(1).mean()
    values = {"loss": loss, "acc": accuracy, "nll": loss, "brier": float(brier)}
    values["ece"] = expected_calibration_error(probabilities, predictions.labels, num_bins=15)
    return {f"{split}/{name}": value for name, value in values.items()}


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


def is_constant(predictions: Predictions) -> bool:
    """Whether the network says the same of every example, as a head does whose class maps are all zero."""
    spread = (predictions.logits - predictions.logits[:1]).abs().max()
    return math.isclose(float(spread), 0.0, abs_tol=1e-7)
