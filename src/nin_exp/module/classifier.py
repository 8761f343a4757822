"""The LightningModule: loss, optimizer, schedule, and sums that are read once an epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
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
        accumulate: parts that a batch is computed in, one after the other, at least 1. The gradient is that of the
            whole batch, also where it is an epoch's smaller last one; batch norm and dropout see the parts.
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
        accumulate: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.label_smoothing = label_smoothing
        self.accumulate = accumulate
        self._logits: Callable[[Tensor], Tensor] = network.__call__
        self._unsynchronised: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        self._loss_weight: Callable[[int], float] | None = None
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

    def compile_training(self) -> None:
        """Compile the network's training pass; the network itself, its evaluation and its state stay as they are.

        Each batch size gets code of its own: with symbolic sizes the code, and with it the bits, would depend on
        which sizes this process has met before.
        """
        torch.compiler.reset()  # the limit of recompilations counts over all networks of a process
        on_cpu = next(self.network.parameters()).device.type == "cpu"
        options: dict[str, Any] = {"compile_threads": 1} if on_cpu else {}
        self._logits = torch.compile(self.network.forward, dynamic=False, options=options or None)

    def distribute(self, parallel: DistributedDataParallel, loss_weight: Callable[[int], float]) -> None:
        """Train together with other processes, each on its part of a batch.

        Args:
            parallel: the network, whose gradients become the mean over processes in the backward pass.
            loss_weight: from this process's images of a batch to what its mean loss counts in that mean.
        """
        # Bound methods: a module that is an attribute would become a part of this one.
        self._logits, self._unsynchronised = parallel.__call__, parallel.no_sync
        self._loss_weight = loss_weight

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, labels, _ = batch
        loss = self._loss(images, labels) if self.accumulate == 1 else self._accumulated_loss(images, labels)
        return loss if self._loss_weight is None else loss * self._loss_weight(len(labels))

    def _accumulated_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Add the gradients of all parts but the last; returns the last part's share of the loss."""
        parts = list(zip(images.chunk(self.accumulate), labels.chunk(self.accumulate), strict=True))
        assert self.optimizer is not None
        self.optimizer.zero_grad()
        weight = 1.0 if self._loss_weight is None else self._loss_weight(len(labels))
        for part_images, part_labels in parts[:-1]:
            with self._unsynchronised():
                loss = self._loss(part_images, part_labels) * (weight * len(part_labels) / len(labels))
                with torch.autocast(self.device.type, enabled=False):
                    self.trainer.strategy.backward(loss, None)
        part_images, part_labels = parts[-1]
        return self._loss(part_images, part_labels) * (len(part_labels) / len(labels))

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self._logits(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        with torch.no_grad():
            self.loss_sum += loss.detach() * len(labels)
            self.hit_count += (logits.argmax(1) == labels).sum()
            self.example_count += len(labels)
        return loss

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Lightning calls this between a batch's pass and its gradient; the parts before it must stay."""
        if self.accumulate == 1:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip unscaled gradients: Lightning refuses to with fused optimizers in float16, which unscale themselves."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if gradient_clip_val is None or scaler is None:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        clip_scaled(scaler, getattr(optimizer, "optimizer", optimizer), float(gradient_clip_val))

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

    @property
    def is_schedule_finished(self) -> bool:
        """Whether the schedule says that training is over."""
        finished = None if self.schedule is None else self.schedule.finished
        return finished is not None and finished()

    def start_epoch_sums(self) -> None:
        """Set the epoch's sums to zero, on the device where the network is."""
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.hit_count = torch.zeros((), dtype=torch.int64, device=self.device)
        self.example_count = 0

    def load_epoch_sums(self, sums: Tensor) -> None:
        """Go on with sums that ``epoch_sums`` gave."""
        loss, hits = sums[:2].to(self.device)
        self.loss_sum, self.hit_count = loss.clone(), hits.long()
        self.example_count = int(sums[2])

    def epoch_sums(self) -> Tensor:
        """Loss (label smoothing included), hits and examples of the epoch so far, as trained: float64 ``(3,)``."""
        return torch.stack([self.loss_sum, self.hit_count.double(), self.loss_sum.new_tensor(self.example_count)])

    @property
    def learning_rate(self) -> float:
        """The largest learning rate of any parameter group."""
        assert self.optimizer is not None
        return max(float(group["lr"]) for group in self.optimizer.param_groups)


def clip_scaled(scaler: torch.amp.GradScaler, optimizer: Optimizer, max_norm: float) -> None:
    """Clip the norm of gradients that carry a float16 scale; they are unscaled by it, once for each step."""
    if getattr(optimizer, "_step_supports_amp_scaling", False):  # others were unscaled before
        scaler.unscale_(optimizer)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, max_norm)
