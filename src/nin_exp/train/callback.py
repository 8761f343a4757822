"""What happens around Lightning's training loop: validation, selection, checkpoints, times, stopping."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from nin_exp.checkpoint.files import save_checkpoint
from nin_exp.config import ExperimentConfig
from nin_exp.data.loader import BatchLoader
from nin_exp.errors import DivergedError
from nin_exp.module.classifier import Classifier
from nin_exp.module.evaluate import loss_and_accuracy, predict
from nin_exp.train.run_files import BEST, LAST, METRICS_FILE, TIMES_FILE, write_rows
from nin_exp.train.signals import Stopped, StopRequest
from nin_exp.train.state import Progress, capture, restore_optimizer
from nin_exp.train.throughput import Throughput

OnEpoch = Callable[[Progress, float | None], None]
"""Called after each epoch with the progress and the images per second so far."""


@dataclass
class Run:
    """What the callback works on."""

    config: ExperimentConfig
    run_dir: Path
    module: Classifier
    train_loader: BatchLoader
    val_loader: BatchLoader
    identity: dict[str, str]
    progress: Progress
    throughput: Throughput
    stop: StopRequest
    on_epoch: OnEpoch
    autocast_dtype: torch.dtype | None
    max_steps: int


class RunCallback(pl.Callback):
    """Keeps a run's books. ``resumed`` is the checkpoint a run goes on from, or None."""

    def __init__(self, run: Run, resumed: dict[str, Any] | None) -> None:
        self.run = run
        self.resumed = resumed
        self._epoch_started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.run.stop.install()  # Lightning has set handlers of its own
        if self.resumed is not None:
            restore_optimizer(self.resumed, self.run.module)
            self.resumed = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.run.progress.batch == 0:
            self.run.module.start_epoch_sums()
        self._epoch_started = time.perf_counter()
        self.run.throughput.resume()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        run = self.run
        run.module.step_batch_schedule()
        run.progress.step += 1
        run.progress.batch += 1
        run.throughput.count(len(batch[1]))
        # After the last batch of an epoch or a run the epoch is closed first: its validation would be lost.
        closes = run.progress.batch == len(run.train_loader) or run.progress.step == run.max_steps
        if run.stop.is_set and not closes:
            run.throughput.pause()
            self._stop()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        run, progress = self.run, self.run.progress
        run.throughput.pause()
        train_seconds = time.perf_counter() - self._epoch_started
        train_loss, train_accuracy = run.module.epoch_loss_and_accuracy()
        self._refuse_divergence(train_loss)
        started = time.perf_counter()
        predictions = predict(run.module.network, run.val_loader, autocast_dtype=run.autocast_dtype)
        val_loss, val_accuracy = loss_and_accuracy(predictions)
        progress.epoch += 1
        progress.batch = 0
        row = {
            "epoch": progress.epoch,
            "train/loss": train_loss,
            "train/acc": train_accuracy,
            "val/loss": val_loss,
            "val/acc": val_accuracy,
            "lr": run.module.learning_rate,
        }
        progress.rows.append(row)
        evaluation = time.perf_counter() - started
        progress.times.append({"epoch": progress.epoch, "train_seconds": train_seconds, "eval_seconds": evaluation})
        run.module.step_epoch_schedule(row)
        run.module.start_epoch_sums()
        self._select(val_accuracy)
        self._save(trainer)
        run.on_epoch(progress, run.throughput.images_per_second)
        if run.stop.is_set:
            self._stop()

    def _stop(self) -> None:
        run = self.run
        save_checkpoint(run.run_dir / LAST, capture(run.progress, run.module, run.train_loader, run.identity))
        raise Stopped(run.stop.exit_code)

    def _select(self, val_accuracy: float) -> None:
        run, progress = self.run, self.run.progress
        if val_accuracy > progress.best_value:
            progress.best_epoch, progress.best_value = progress.epoch, val_accuracy
            if run.config.trainer.select == "best" or run.config.checkpoint.keep in ("best", "both"):
                content = {
                    "identity": run.identity,
                    "epoch": progress.epoch,
                    "network": run.module.network.state_dict(),
                }
                save_checkpoint(run.run_dir / BEST, content)

    def _save(self, trainer: pl.Trainer) -> None:
        run, progress = self.run, self.run.progress
        patience = run.config.trainer.patience
        waited = progress.epoch - (progress.best_epoch or 0)
        is_last = progress.epoch >= run.config.trainer.max_epochs or progress.step >= run.max_steps
        if patience is not None and waited >= patience:
            trainer.should_stop = is_last = True
            if "stopped_early" not in progress.flags:
                progress.flags.append("stopped_early")
        if is_last or progress.epoch % run.config.checkpoint.every_epochs == 0:
            save_checkpoint(run.run_dir / LAST, capture(progress, run.module, run.train_loader, run.identity))
        write_rows(run.run_dir / METRICS_FILE, progress.rows)
        write_rows(run.run_dir / TIMES_FILE, progress.times)

    def _refuse_divergence(self, train_loss: float) -> None:
        if train_loss != train_loss or train_loss in (float("inf"), float("-inf")):
            raise DivergedError(
                f"the training loss became {train_loss} in epoch {self.run.progress.epoch + 1}; "
                "lower optimizer.lr, or set trainer.clip_norm"
            )
