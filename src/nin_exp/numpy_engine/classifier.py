"""Training steps in NumPy: loss, gradient, optimizer, schedule, and sums that are read once an epoch.

The optimizer and the schedule of the configuration are built as for torch. The torch optimizer holds the groups and
the learning rates, which the schedule moves; it never changes a weight.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nin_exp.contracts.optim import OptimizerFactory, ScheduleFactory
from nin_exp.numpy_engine.network import NumpyNetwork
from nin_exp.numpy_engine.optimizer import numpy_optimizer
from nin_exp.reference.layout import Array
from nin_exp.reference.losses import CrossEntropy
from nin_exp.reference.optimizers import clip_gradient_norm


class NumpyClassifier:
    """Trains a network with cross-entropy, as ``nin_exp.module.classifier`` does with torch.

    Args:
        total_steps: optimizer steps of the whole run, for schedules that need to know.
        label_smoothing: of the training loss alone, in [0, 1).
        clip_norm: the largest norm of all gradients together; None for any.

    Raises:
        ConfigError: the optimizer has no counterpart in NumPy.
    """

    def __init__(
        self,
        network: NumpyNetwork,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory,
        *,
        total_steps: int,
        steps_per_epoch: int,
        label_smoothing: float,
        clip_norm: float | None,
    ) -> None:
        self.network = network
        self._clip_norm = clip_norm
        self._loss = CrossEntropy(label_smoothing=label_smoothing)
        self._rates = optimizer.build(network)
        self._schedule = schedule.build(self._rates, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        named = network.layers.named_parameters()
        self._optimizer = numpy_optimizer(self._rates, {id(p): named[n] for n, p in network.named_parameters()})
        self.start_epoch_sums()

    def training_step(self, images: Array, labels: Array) -> float:
        """One optimizer step on a batch; returns its loss, which is finite or says that training diverged.

        Args:
            images: ``(B, C, H, W)`` in the dtype of the weights.
            labels: integers ``(B,)``.
        """
        layers, optimizer = self.network.layers, self._optimizer
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            optimizer.zero_grad()
            logits = layers(images)
            loss = self._loss(logits, labels)
            layers.backward_parameters(self._loss.backward())
            if self._clip_norm is not None:
                clip_gradient_norm(optimizer.parameters(), self._clip_norm)
            self._follow_rates()
            optimizer.step()
        self._loss_sum += loss * len(labels)
        self._hit_count += int((logits.argmax(axis=1) == labels).sum())
        self._example_count += len(labels)
        return loss

    def _follow_rates(self) -> None:
        for own, group in zip(self._optimizer.groups, self._rates.param_groups, strict=True):
            own["lr"] = float(group["lr"])
        self._rates.step()  # its parameters have no gradients: nothing moves, but torch's schedules ask for it

    def step_batch_schedule(self) -> None:
        """Move a step-wise schedule; before a checkpoint of the same batch is taken."""
        if self._schedule.interval == "step":
            self._schedule.scheduler.step()

    def step_epoch_schedule(self, metrics: dict[str, float]) -> None:
        """Move an epoch-wise schedule; a plateau schedule reads its metric."""
        if self._schedule.interval != "epoch":
            return
        if self._schedule.monitor is None:
            self._schedule.scheduler.step()
        else:
            # ReduceLROnPlateau takes the metric where the others take an epoch number.
            self._schedule.scheduler.step(metrics[self._schedule.monitor])  # type: ignore[arg-type]

    @property
    def is_schedule_finished(self) -> bool:
        """Whether the schedule says that training is over."""
        finished = self._schedule.finished
        return finished is not None and finished()

    @property
    def learning_rate(self) -> float:
        """The largest learning rate of any parameter group."""
        return max(float(group["lr"]) for group in self._rates.param_groups)

    def start_epoch_sums(self) -> None:
        """Set the epoch's sums to zero."""
        self._loss_sum, self._hit_count, self._example_count = 0.0, 0, 0

    def epoch_loss_and_accuracy(self) -> tuple[float, float]:
        """Mean training loss (with label smoothing) and accuracy over the epoch's batches, as they were trained."""
        count = max(1, self._example_count)
        return self._loss_sum / count, self._hit_count / count

    def state_dict(self) -> dict[str, Any]:
        """All but the weights that ``load_state_dict`` needs to go on to the byte: plain containers and tensors."""
        return {
            "moments": {name: torch.from_numpy(value) for name, value in self._optimizer.state_dict().items()},
            "optimizer": self._rates.state_dict(),
            "schedule": self._schedule.scheduler.state_dict(),
            "sums": {"loss": self._loss_sum, "hits": self._hit_count, "count": self._example_count},
            "dropout": self.network.dropout_rng.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state given by ``state_dict``."""
        self._optimizer.load_state_dict({name: value.numpy() for name, value in state["moments"].items()})
        self._rates.load_state_dict(state["optimizer"])
        self._schedule.scheduler.load_state_dict(state["schedule"])
        sums = state["sums"]
        self._loss_sum, self._hit_count, self._example_count = sums["loss"], sums["hits"], sums["count"]
        self.network.dropout_rng.bit_generator.state = state["dropout"]
