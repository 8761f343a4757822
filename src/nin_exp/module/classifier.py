"""The LightningModule: loss, optimizer, schedule, and sums that are read once an epoch."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from nin_exp.contracts.model import Network
from nin_exp.contracts.optim import BuiltSchedule, OptimizerFactory, ScheduleFactory

Batch = tuple[Tensor, Tensor, Tensor]


class Classifier(pl.LightningModule):
    """Trains a network with cross-entropy.

    The schedule is stepped here and not by Lightning, so that a checkpoint can hold it at any batch. Nothing is
    logged inside a step: the loss and the hits stay on the device until the epoch ends.

    Args:
        total_steps: optimizer steps of the whole run, for schedules that need to know.
        label_smoothing: of the training loss alone, in [0, 1).
    """

    def __init__(
        self,
        network: Network,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory,
        *,
        total_steps: int,
        steps_per_epoch: int,
        label_smoothing: float,
    ) -> None:
        super().__init__()
        self.network = network
        self.label_smoothing = label_smoothing
        self._optimizer_factory = optimizer
        self._schedule_factory = schedule
        self._total_steps = total_steps
        self._steps_per_epoch = steps_per_epoch
        self.optimizer: Optimizer | None = None
        self.schedule: BuiltSchedule | None = None
        self.loss_sum = torch.zeros((), dtype=torch.float64)
        self.hit_count = torch.zeros((), dtype=torch.int64)
        self.example_count = 0

    def configure_optimizers(self) -> Optimizer:
        self.optimizer = self._optimizer_factory.build(self.network)
        self.schedule = self._schedule_factory.build(
            self.optimizer, total_steps=self._total_steps, steps_per_epoch=self._steps_per_epoch
        )
        return self.optimizer

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, labels, _ = batch
        logits = self.network(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        with torch.no_grad():
            self.loss_sum += loss.detach() * len(labels)
            self.hit_count += (logits.argmax(1) == labels).sum()
            self.example_count += len(labels)
        return loss

    def step_batch_schedule(self) -> None:
        """Move a step-wise schedule; before a checkpoint of the same batch is taken."""
        if self.schedule is not None and self.schedule.interval == "step":
            self.schedule.scheduler.step()

    def step_epoch_schedule(self, metrics: dict[str, float]) -> None:
        """Move an epoch-wise schedule; a plateau schedule reads its metric."""
        if self.schedule is None or self.schedule.interval != "epoch":
            return
        if self.schedule.monitor is None:
            self.schedule.scheduler.step()
        else:
            # ReduceLROnPlateau takes the metric where the others take an epoch number.
            self.schedule.scheduler.step(metrics[self.schedule.monitor])  # type: ignore[arg-type]

    def start_epoch_sums(self) -> None:
        """Set the epoch's sums to zero, on the device where the network is."""
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.hit_count = torch.zeros((), dtype=torch.int64, device=self.device)
        self.example_count = 0

    def epoch_loss_and_accuracy(self) -> tuple[float, float]:
        """Mean training loss (with label smoothing) and accuracy over the epoch's batches, as they were trained."""
        count = max(1, self.example_count)
        return float(self.loss_sum) / count, float(self.hit_count) / count

    @property
    def learning_rate(self) -> float:
        """The largest learning rate of any parameter group."""
        assert self.optimizer is not None
        return max(float(group["lr"]) for group in self.optimizer.param_groups)
