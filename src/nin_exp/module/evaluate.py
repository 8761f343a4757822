"""Evaluate a network on a split, on every one of its examples; plain torch, no Lightning."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nin_exp.contracts.model import Network
from nin_exp.module.calibration import NUM_BINS, expected_calibration_error, fit_temperature

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
    values["ece"] = expected_calibration_error(probabilities, predictions.labels, num_bins=NUM_BINS)
    return {f"{split}/{name}": value for name, value in values.items()}


def scaled_metrics(val: Predictions, test: Predictions) -> dict[str, float]:
    """``test/nll_scaled`` and ``test/ece_scaled`` at the temperature fitted on validation, ``val/temperature``."""
    temperature = fit_temperature(val.logits, val.labels)
    scaled = metrics(Predictions(test.logits.double() / temperature, test.labels), "test")
    return {
        "val/temperature": temperature,
        "test/nll_scaled": scaled["test/nll"],
        "test/ece_scaled": scaled["test/ece"],
    }


def class_accuracies(predictions: Predictions, num_classes: int) -> dict[str, list[float | None]]:
    """``num_examples`` and ``acc`` of each class; None for the accuracy of a class without an example."""
    hits = predictions.logits.argmax(1) == predictions.labels
    sizes = torch.bincount(predictions.labels, minlength=num_classes).tolist()
    right = torch.bincount(predictions.labels[hits], minlength=num_classes).tolist()
    shares = [r / n if n else None for r, n in zip(right, sizes, strict=True)]
    return {"num_examples": sizes, "acc": shares}


def is_constant(predictions: Predictions) -> bool:
    """Whether the network says the same of every example, as a head does whose class maps are all zero."""
    spread = (predictions.logits - predictions.logits[:1]).abs().max()
    return math.isclose(float(spread), 0.0, abs_tol=1e-7)
