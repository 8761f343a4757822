"""The NumPy engine's side of a run, and its loop over batches."""

from __future__ import annotations

from typing import Any

from nin_exp.build import build_optimizer, build_schedule, derived_seed
from nin_exp.config import ExperimentConfig
from nin_exp.contracts.model import Network
from nin_exp.data.loader import BatchLoader
from nin_exp.module.evaluate import loss_and_accuracy, predict
from nin_exp.numpy_engine.classifier import NumpyClassifier
from nin_exp.numpy_engine.network import NumpyNetwork
from nin_exp.reference.parallel import set_num_threads
from nin_exp.train.books import Books
from nin_exp.train.learner import Learner
from nin_exp.train.state import Progress


class NumpyLearner(Learner):
    """A network that NumPy trains and validates; its weights are a torch network's."""

    def __init__(self, classifier: NumpyClassifier, train_loader: BatchLoader, val_loader: BatchLoader) -> None:
        self.classifier = classifier
        self.network = classifier.network
        self.train_loader = train_loader
        self.steps_per_epoch = len(train_loader)
        self._val_loader = val_loader

    def start_epoch_sums(self) -> None:
        self.classifier.start_epoch_sums()

    def end_step(self) -> None:
        self.classifier.step_batch_schedule()

    def train_loss_and_accuracy(self) -> tuple[float, float]:
        return self.classifier.epoch_loss_and_accuracy()

    def validate(self) -> tuple[float, float]:
        return loss_and_accuracy(predict(self.network, self._val_loader))

    def end_epoch(self, row: dict[str, float]) -> None:
        self.classifier.step_epoch_schedule(row)

    @property
    def learning_rate(self) -> float:
        return self.classifier.learning_rate

    @property
    def is_schedule_finished(self) -> bool:
        return self.classifier.is_schedule_finished

    def weights(self) -> dict[str, Any]:
        return self.network.state_dict()

    def state_dict(self, progress: Progress) -> dict[str, Any]:
        # The batches that were trained count, not those that were fetched.
        position = {"epoch": progress.epoch, "position": progress.batch}
        loader = {**self.train_loader.state_dict(), **position}
        return {"network": self.weights(), "loader": loader, **self.classifier.state_dict()}

    def load_network(self, state: dict[str, Any]) -> None:
        """Load everything: nothing here has to wait for training to start."""
        self.train_loader.load_state_dict(state["loader"])
        self.network.load_state_dict(state["network"])
        self.classifier.load_state_dict(state)

    def fit(self, books: Books) -> None:
        """Train until the books say that the run is over.

        Raises:
            DivergedError: the training loss is not finite.
            Stopped: a signal has come; everything is saved.
        """
        books.start_training()
        is_over = False
        while not is_over:
            books.start_epoch()
            for images, labels, _ in self.train_loader:
                self.classifier.training_step(images.numpy(), labels.numpy())
                books.end_step(len(labels))
                if books.progress.step == books.max_steps:
                    break
            is_over = books.end_epoch()


def build_numpy_learner(
    config: ExperimentConfig,
    network: Network,
    train_loader: BatchLoader,
    val_loader: BatchLoader,
    total_steps: int,
    threads: int,
    allowed_packages: tuple[str, ...],
) -> NumpyLearner:
    """The learner of a configuration with engine=numpy.

    Raises:
        ConfigError: a layer or the optimizer has no counterpart in NumPy.
    """
    set_num_threads(threads)
    classifier = NumpyClassifier(
        NumpyNetwork(network, derived_seed(config.augment_seed, "dropout")),
        build_optimizer(config, allowed_packages),
        build_schedule(config, allowed_packages),
        total_steps=total_steps,
        steps_per_epoch=len(train_loader),
        label_smoothing=config.trainer.label_smoothing,
        clip_norm=config.trainer.clip_norm,
    )
    return NumpyLearner(classifier, train_loader, val_loader)
