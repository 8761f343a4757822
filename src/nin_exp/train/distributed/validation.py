"""Validation shared out among ranks."""

from __future__ import annotations

import torch
from torch.nn import functional

from nin_exp.contracts.model import Network
from nin_exp.data.loader import BatchLoader
from nin_exp.module.evaluate import predict
from nin_exp.train.distributed.group import Group


def shared_loss_and_accuracy(
    network: Network, loader: BatchLoader, autocast_dtype: torch.dtype | None, group: Group
) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy over a split, of which ``loader`` holds this rank's part.

    Sums travel, in float64, not outputs: the same on every rank, so that all decide alike.
    """
    sums = torch.zeros(3, dtype=torch.float64)
    parts = [loader.part(batch) for batch in range(len(loader))]
    if any(start < end for start, end in parts):  # of a split smaller than the group some ranks have nothing
        batches = (batch for batch in loader if len(batch[1]))
        found = predict(network, batches, autocast_dtype=autocast_dtype)
        losses = functional.cross_entropy(found.logits.double(), found.labels, reduction="sum")
        hits = (found.logits.argmax(1) == found.labels).double().sum()
        sums = torch.stack([losses, hits, torch.tensor(float(len(found.labels)), dtype=torch.float64)])
    loss, hits_total, count = group.sum(sums).tolist()
    return loss / count, hits_total / count
