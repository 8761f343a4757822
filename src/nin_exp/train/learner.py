"""What learns: the network with its optimizer, schedule and random states, as the books of a run see it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch

from nin_exp.contracts.model import Network
from nin_exp.data.loader import BatchLoader
from nin_exp.module.averaging import WeightAverage
from nin_exp.module.classifier import Classifier
from nin_exp.module.evaluate import loss_and_accuracy, predict
from nin_exp.train.distributed.group import Group
from nin_exp.train.distributed.validation import shared_loss_and_accuracy
from nin_exp.train.state import Progress


class Learner(ABC):
    """An engine's side of a run. ``Books`` calls it at each boundary; whoever loops over batches trains it.

    Args:
        network: what learns, and what is measured in the end.
        steps_per_epoch: optimizer steps of a whole epoch.
    """

    network: Network
    steps_per_epoch: int

    @abstractmethod
    def start_epoch_sums(self) -> None:
        """Forget the training loss and accuracy of the last epoch."""

    @abstractmethod
    def end_step(self) -> None:
        """After each optimizer step: a step-wise schedule, an average of the weights."""

    @abstractmethod
    def train_loss_and_accuracy(self) -> tuple[float, float]:
        """Over the epoch's batches, as they were trained."""

    @abstractmethod
    def validate(self) -> tuple[float, float]:
        """Loss and accuracy of the weights that would be selected, on the validation split."""

    @abstractmethod
    def end_epoch(self, row: dict[str, float]) -> None:
        """An epoch-wise schedule, which may read the epoch's metrics."""

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """The largest learning rate of any parameter group."""

    @property
    @abstractmethod
    def is_schedule_finished(self) -> bool:
        """Whether the schedule says that training is over."""

    @abstractmethod
    def weights(self) -> dict[str, Any]:
        """The weights that would be selected, under the network's keys."""

    @abstractmethod
    def state_dict(self, progress: Progress) -> dict[str, Any]:
        """All that is needed to go on from here to the byte: plain containers and tensors."""

    @abstractmethod
    def load_network(self, state: dict[str, Any]) -> None:
        """Load what exists before training starts: weights and the loader's position, at least."""


class TorchLearner(Learner):
    """A network in torch.

    Args:
        val_loader: this rank's part of the validation split.
        average: of the weights, which is then what is validated, selected and tested.
        autocast_dtype: of validation, as in training.
    """

    def __init__(
        self,
        module: Classifier,
        train_loader: BatchLoader,
        val_loader: BatchLoader,
        *,
        average: WeightAverage | None,
        autocast_dtype: torch.dtype | None,
        group: Group,
    ) -> None:
        self.module = module
        self.group = group
        self.network = module.network
        self.train_loader = train_loader
        self.average = average
        self.steps_per_epoch = len(train_loader)
        self._val_loader = val_loader
        self._autocast_dtype = autocast_dtype
        parallel = group.parallel(module.network)
        if parallel is not None:
            module.distribute(parallel, self._loss_weight)
        self._batch = 0  # of the epoch; this one is trained

    def _loss_weight(self, num_images: int) -> float:
        """Ranks have unequal parts of a batch that does not divide; gradients are averaged over ranks."""
        return num_images * self.group.size / self.images_of_step(self._batch)

    def images_of_step(self, batch: int) -> int:
        """Images of an epoch's batch, over all ranks."""
        loader = self.train_loader
        return min(loader.batch_size, loader.num_samples - batch * loader.batch_size)

    def start_batch(self, batch: int) -> None:
        """A batch of the epoch begins."""
        self._batch = batch

    def start_epoch_sums(self) -> None:
        self.module.start_epoch_sums()

    def end_step(self) -> None:
        self.module.step_batch_schedule()
        if self.average is not None:
            self.average.follow()

    def train_loss_and_accuracy(self) -> tuple[float, float]:
        loss, hits, count = self.group.sum(self.module.epoch_sums()).tolist()
        return loss / max(1, count), hits / max(1, count)

    def validate(self) -> tuple[float, float]:
        network = self.module.network if self.average is None else self.average.network
        if not self.group.is_alone:
            return shared_loss_and_accuracy(network, self._val_loader, self._autocast_dtype, self.group)
        return loss_and_accuracy(predict(network, self._val_loader, autocast_dtype=self._autocast_dtype))

    def end_epoch(self, row: dict[str, float]) -> None:
        self.module.step_epoch_schedule(row)

    @property
    def learning_rate(self) -> float:
        return self.module.learning_rate

    @property
    def is_schedule_finished(self) -> bool:
        return self.module.is_schedule_finished

    def weights(self) -> dict[str, Any]:
        return self.module.network.state_dict() if self.average is None else self.average.state_dict()

    def state_dict(self, progress: Progress) -> dict[str, Any]:
        module = self.module
        assert module.optimizer is not None
        assert module.schedule is not None
        state: dict[str, Any] = {
            "network": self.weights(),  # what a trained run is used with
            "optimizer": module.optimizer.state_dict(),
            "schedule": module.schedule.scheduler.state_dict(),
            "sums": {
                "loss": module.loss_sum.cpu(),
                "hits": module.hit_count.cpu(),
                "count": module.example_count,
            },
            # The batches that were trained count, not those that were fetched.
            "loader": {**self.train_loader.state_dict(), "epoch": progress.epoch, "position": progress.batch},
            "rng": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if module.device.type == "cuda" else [],
            },
            "precision": module.trainer.precision_plugin.state_dict(),  # the scale of float16 gradients
        }
        if self.average is not None:
            state["trained"] = module.network.state_dict()
        if not self.group.is_alone:
            state["ranks"] = self._gather_ranks()
        return state

    def load_network(self, state: dict[str, Any]) -> None:
        self.train_loader.load_state_dict(state["loader"])
        if self.average is None:
            self.module.network.load_state_dict(state["network"])
        else:
            self.module.network.load_state_dict(state["trained"])
            self.average.load_state_dict(state["network"])

    def load_optimizer(self, state: dict[str, Any]) -> None:
        """Load what exists only once training has started: optimizer, schedule, sums, random states."""
        module = self.module
        assert module.optimizer is not None
        assert module.schedule is not None
        module.optimizer.load_state_dict(state["optimizer"])
        module.schedule.scheduler.load_state_dict(state["schedule"])
        if state["precision"]:
            module.trainer.precision_plugin.load_state_dict(state["precision"])
        if not self.group.is_alone:
            self._load_rank(state["ranks"][self.group.rank])
            return
        module.loss_sum = state["sums"]["loss"].to(module.device)
        module.hit_count = state["sums"]["hits"].to(module.device)
        module.example_count = state["sums"]["count"]
        torch.set_rng_state(state["rng"]["cpu"])
        if state["rng"]["cuda"]:
            torch.cuda.set_rng_state_all(state["rng"]["cuda"])

    def _gather_ranks(self) -> list[dict[str, torch.Tensor]]:
        """What each rank has of its own: the sums of the epoch so far, and random states."""
        own = {"sums": self.module.epoch_sums(), "cpu_rng": torch.get_rng_state()}
        if self.module.device.type == "cuda":
            own["cuda_rng"] = torch.cuda.get_rng_state()
        gathered = {name: self.group.gather(values) for name, values in own.items()}
        return [{name: values[rank] for name, values in gathered.items()} for rank in range(self.group.size)]

    def _load_rank(self, own: dict[str, torch.Tensor]) -> None:
        self.module.load_epoch_sums(own["sums"])
        torch.set_rng_state(own["cpu_rng"])
        if "cuda_rng" in own:
            torch.cuda.set_rng_state(own["cuda_rng"])
