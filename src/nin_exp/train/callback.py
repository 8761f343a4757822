"""Lightning's hooks, passed on to the books of a run."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from nin_exp.train.books import Books
from nin_exp.train.learner import TorchLearner
from nin_exp.train.profile import StepProfile


class BooksCallback(pl.Callback):
    """Tells the books where Lightning's loop is.

    Args:
        resumed: the checkpoint that the run goes on from; None for a new run.
        profile: of some training steps; None for none.
    """

    def __init__(
        self, books: Books, learner: TorchLearner, resumed: dict[str, Any] | None, profile: StepProfile | None
    ) -> None:
        self.books = books
        self._learner = learner
        self._resumed = resumed
        self._profile = profile

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.books.start_training()  # Lightning has set handlers of its own
        if self._resumed is not None:
            self._learner.load_optimizer(self._resumed)
            self._resumed = None
        if self._profile is not None:
            self._profile.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.books.start_epoch()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._learner.start_batch(self.books.progress.batch)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._profile is not None:
            self._profile.end_step()
        self.books.end_step(self._learner.images_of_step(self.books.progress.batch))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._profile is not None:
            self._profile.stop()  # validation is no training step
        if self.books.end_epoch():
            trainer.should_stop = True
