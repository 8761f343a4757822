"""The books of a run, whatever engine trains it: validation, selection, checkpoints, times, and when it ends."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nin_exp.checkpoint.files import save_checkpoint
from nin_exp.config import ExperimentConfig
from nin_exp.errors import DivergedError, StorageError
from nin_exp.train.dead_head import DEAD_HEAD, is_chance_loss, remedy
from nin_exp.train.learner import Learner
from nin_exp.train.run_files import BEST, LAST, LOCK_FILE, METRICS_FILE, TIMES_FILE, write_rows
from nin_exp.train.signals import Stopped, StopRequest
from nin_exp.train.state import Progress
from nin_exp.train.throughput import Throughput

log = logging.getLogger("nin_exp")

OnEpoch = Callable[[Progress, float | None], None]
"""Called after each epoch with the progress and the images per second so far."""


@dataclass
class Books:
    """Keeps the books of one run. An engine calls, in this order and each at its boundary:

    ``start_training``; then for each epoch ``start_epoch``, after each optimizer step ``end_step``, and ``end_epoch``,
    which says whether the run is over.

    Args:
        identity: hashes of the configuration and the data, for the checkpoints.
        writes: whether this process writes the run's files; of several that train together one does.
        max_steps: optimizer steps of the whole run, at most.
    """

    config: ExperimentConfig
    run_dir: Path
    learner: Learner
    num_classes: int
    identity: dict[str, str]
    progress: Progress
    throughput: Throughput
    stop: StopRequest
    on_epoch: OnEpoch
    max_steps: int
    writes: bool
    _epoch_started: float = field(default=0.0, init=False)

    @property
    def epochs_left(self) -> int:
        """Epochs still to train, the one under way included; 0 for a run that is over."""
        if self.progress.is_stopped or self.progress.step >= self.max_steps:
            return 0
        return max(0, self.config.trainer.max_epochs - self.progress.epoch)

    def start_training(self) -> None:
        """The engine is ready to train; signals are taken from whatever library has them."""
        self.stop.install()

    def start_epoch(self) -> None:
        """An epoch begins, or goes on from the middle."""
        if self.progress.batch == 0:
            self.learner.start_epoch_sums()
        self._epoch_started = time.perf_counter()
        self.throughput.resume()

    def end_step(self, num_images: int) -> None:
        """An optimizer step is done.

        Raises:
            Stopped: a signal has come; everything is saved.
        """
        self.learner.end_step()
        progress = self.progress
        progress.step += 1
        progress.batch += 1
        self.throughput.count(num_images)
        # After the last batch of an epoch or a run the epoch is closed first: its validation would be lost.
        closes = progress.batch == self.learner.steps_per_epoch or progress.step == self.max_steps
        if not closes and self.stop.is_agreed(progress.step):
            self.throughput.pause()
            self._save_last()
            raise Stopped(self.stop.exit_code)

    def end_epoch(self) -> bool:
        """Close an epoch, also one that max_steps cut; returns whether the run is over.

        Raises:
            DivergedError: the training loss is not finite.
            StorageError: the run directory was removed, or cannot be written.
            Stopped: a signal has come; everything is saved.
        """
        self.throughput.pause()
        if not (self.run_dir / LOCK_FILE).exists():
            raise StorageError(f"{self.run_dir} was removed while it was trained; run the command again")
        trained = time.perf_counter()
        row = self._measure()
        seconds = {"train_seconds": trained - self._epoch_started, "eval_seconds": time.perf_counter() - trained}
        progress, learner = self.progress, self.learner
        progress.rows.append(row)
        progress.times.append({"epoch": progress.epoch, **seconds})
        learner.end_epoch(row)
        learner.start_epoch_sums()
        self._note_dead_head(row)
        is_best = self._select(row["val/acc"])
        is_over = self._is_over(row)
        # With a new best: whoever goes on from here must find the weights that the progress calls the best.
        if is_over or is_best or progress.epoch % self.config.checkpoint.every_epochs == 0:
            self._save_last()
        if self.writes:
            write_rows(self.run_dir / METRICS_FILE, progress.rows)
            write_rows(self.run_dir / TIMES_FILE, progress.times)
        self.on_epoch(progress, self.throughput.images_per_second)
        if self.stop.is_agreed(None):
            self._save_last()
            raise Stopped(self.stop.exit_code)
        return is_over

    def _measure(self) -> dict[str, float]:
        progress, learner = self.progress, self.learner
        train_loss, train_accuracy = learner.train_loss_and_accuracy()
        if not math.isfinite(train_loss):
            raise DivergedError(
                f"the training loss became {train_loss} in epoch {progress.epoch + 1}; "
                "lower optimizer.lr, or set trainer.clip_norm"
            )
        val_loss, val_accuracy = learner.validate()
        progress.epoch += 1
        progress.batch = 0
        return {
            "epoch": progress.epoch,
            "train/loss": train_loss,
            "train/acc": train_accuracy,
            "val/loss": val_loss,
            "val/acc": val_accuracy,
            "lr": learner.learning_rate,
        }

    def _note_dead_head(self, row: dict[str, float]) -> None:
        """In the first epoch that it happens; a head that lives again loses the flag."""
        if not is_chance_loss(row["train/loss"], self.num_classes):
            if DEAD_HEAD in self.progress.flags:
                self.progress.flags.remove(DEAD_HEAD)
                log.info("epoch %d: the head is alive again", self.progress.epoch)
        elif self.progress.add_flag(DEAD_HEAD):
            log.warning(
                "epoch %d: the loss stayed at ln %d = %.4f: every image gets the same answer; %s",
                self.progress.epoch,
                self.num_classes,
                math.log(self.num_classes),
                remedy(self.config),
                extra={"console": True},
            )

    def _select(self, val_accuracy: float) -> bool:
        """Keep the weights of the best epoch so far; returns whether this one's were written."""
        progress = self.progress
        if not val_accuracy > progress.best_value:
            return False
        progress.best_epoch, progress.best_value = progress.epoch, val_accuracy
        if self.config.trainer.select != "best" and self.config.checkpoint.keep not in ("best", "both"):
            return False
        if self.writes:
            content = {"identity": self.identity, "epoch": progress.epoch, "network": self.learner.weights()}
            save_checkpoint(self.run_dir / BEST, content)
        return True

    def _is_over(self, row: dict[str, float]) -> bool:
        trainer, progress = self.config.trainer, self.progress
        waited = progress.epoch - (progress.best_epoch or 0)
        mark = trainer.stop_above
        rules = {
            "stopped_early": trainer.patience is not None and waited >= trainer.patience,
            "stopped_above": mark is not None and row["train/acc"] > mark and row["val/acc"] > mark,
            "schedule_finished": self.learner.is_schedule_finished,
        }
        for flag, holds in rules.items():
            if holds and progress.add_flag(flag):
                log.info("epoch %d ends the training: %s", progress.epoch, flag)
        return self.epochs_left == 0

    def _save_last(self) -> None:
        state: dict[str, Any] = {"identity": self.identity, "progress": self.progress.state_dict()}
        state |= self.learner.state_dict(self.progress)  # also where nothing is written: ranks gather it together
        if self.writes:
            save_checkpoint(self.run_dir / LAST, state)
