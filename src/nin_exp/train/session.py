"""The work of one run: data, network, training with Lightning or NumPy, evaluation of the selected weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nin_exp.build import (
    build_augment,
    build_dataset,
    build_network,
    build_optimizer,
    build_schedule,
    derived_seed,
)
from nin_exp.checkpoint.files import load_checkpoint
from nin_exp.compose.identity import code_hash
from nin_exp.config import ExperimentConfig
from nin_exp.contracts.model import Network
from nin_exp.data.fingerprint import stamp
from nin_exp.data.folder import resolve_data_dir
from nin_exp.data.loader import BatchLoader
from nin_exp.data.prepare import PreparedData, prepare
from nin_exp.errors import ConfigError, IntegrityError
from nin_exp.layers.batch_norm import check_batches
from nin_exp.layers.summary import NetworkSummary, summarize
from nin_exp.module.averaging import WeightAverage
from nin_exp.module.classifier import Classifier
from nin_exp.records.files import write_json
from nin_exp.records.job import Job
from nin_exp.train.books import Books, OnEpoch
from nin_exp.train.callback import BooksCallback
from nin_exp.train.compilation import require_compiler
from nin_exp.train.distributed.group import Group
from nin_exp.train.engine import lightning_trainer
from nin_exp.train.host import deterministic_algorithms, peak_memory_bytes, pick_device, settle, settle_gpu
from nin_exp.train.learner import Learner, TorchLearner
from nin_exp.train.limit import LIMITED, limit_data
from nin_exp.train.measure import Measurement
from nin_exp.train.numpy_learner import NumpyLearner, build_numpy_learner
from nin_exp.train.profile import StepProfile
from nin_exp.train.run_files import BEST, LAST, prune_checkpoints, write_input
from nin_exp.train.signals import StopRequest
from nin_exp.train.state import Progress, progress_of
from nin_exp.train.throughput import Throughput

log = logging.getLogger(__name__)
MakeLoader = Callable[..., BatchLoader]
"""From a split, and which part of each batch (rank, world_size; by default the whole)."""
START_FILE = "start.json"
AUTOCAST = {"32": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def first_choice(run_dir: Path, threads: int) -> int:
    """The thread count decides bits: keep what the job's first start chose."""
    path = run_dir / START_FILE
    if path.is_file():
        return int(json.loads(path.read_text(encoding="utf-8"))["threads"])
    write_json(path, {"threads": threads})
    return threads


class Session:
    """Runs one job; ``facts()`` says at any time what is known so far, also after a failure.

    Args:
        threads: of the job, shared out among its ranks.
        group: the ranks; the first writes the run's files, and measures it when all have trained.
    """

    def __init__(self, job: Job, config: ExperimentConfig, threads: int, stop: StopRequest, group: Group) -> None:
        self.job, self.config, self.stop, self.group = job, config, stop, group
        self.device = ""
        # Before anything is trained: the files may be edited while a long run goes on with what it has imported.
        self._code_hash = code_hash(config, job.allowed_packages)
        self.progress = Progress()
        self.resumed_times: list[dict[str, float]] = []
        self._threads = max(1, first_choice(job.run_dir, config.trainer.threads or threads) // group.size)
        self._throughput: Throughput | None = None
        self._data: PreparedData | None = None
        self._summary: NetworkSummary | None = None
        self._flags: set[str] = set()

    def run(self, on_epoch: OnEpoch) -> dict[str, Any]:
        """Train, select, evaluate, and write everything but the record; returns the metrics."""
        with deterministic_algorithms(enabled=self.config.trainer.deterministic):
            return self._run(on_epoch)

    def _run(self, on_epoch: OnEpoch) -> dict[str, Any]:
        config, run_dir = self.config, self.job.run_dir
        self.device = "cpu" if config.engine == "numpy" else pick_device(config.trainer.accelerator)
        self._refuse_what_the_device_lacks()
        settle(self._threads)
        if self.device == "cuda":
            trainer = config.trainer
            settle_gpu(tf32=trainer.tf32, cudnn_benchmark=trainer.cudnn_benchmark and not trainer.deterministic)
        self._throughput = Throughput(self.device)
        self.group.join(self.device)
        data = self._data = self.group.first_alone(self._prepare)
        if self.group.is_first:
            write_input(run_dir, data)
        self.stop.check()
        network = build_network(config, data.image_spec, data.num_classes, self.job.allowed_packages)
        self._summary = summarize(network, data.image_spec)
        self._refuse_batches_of_one(self._summary, len(data.train))
        train_loader, make_loader = self._loaders(data)
        make_learner = self._numpy_learner if config.engine == "numpy" else self._torch_learner
        learner = make_learner(network, train_loader, make_loader(data.val, **self._part))
        self._fit(self._books(learner, data, on_epoch), learner)
        self.group.leave()
        if not self.group.is_first:
            return {}
        self._restore_selected(learner)
        measurement = Measurement(
            config=config,
            run_dir=run_dir,
            network=learner.network,
            data=data,
            make_loader=make_loader,
            autocast_dtype=AUTOCAST[config.trainer.precision],
            before_batch=self.stop.check,
        )
        measurement.run(self.progress.rows)
        self._flags |= measurement.flags
        prune_checkpoints(run_dir, config.checkpoint.keep)
        return {"metrics": measurement.metrics}

    def _refuse_what_the_device_lacks(self) -> None:
        trainer = self.config.trainer
        if trainer.precision == "16-mixed" and self.device == "cpu":
            raise ConfigError("trainer.precision=16-mixed needs a GPU, and none is visible; use trainer.precision=32")
        if trainer.compile:
            require_compiler(self.device)

    def _refuse_batches_of_one(self, summary: NetworkSummary, num_images: int) -> None:
        trainer = self.config.trainer
        seen = num_images if trainer.max_steps is None else min(num_images, trainer.max_steps * trainer.batch_size)
        check_batches(summary, num_images=seen, batch_size=trainer.batch_size, accumulate=trainer.accumulate)

    def _prepare(self) -> PreparedData:
        config = self.config
        source = build_dataset(config, self.job.allowed_packages)
        data = prepare(source, resolve_data_dir(config.data_dir), config.split_seed)
        limited = limit_data(data, config.trainer, config.order_seed)
        if limited is not data:
            self._flags.add(LIMITED)
        return limited

    def _loaders(self, data: PreparedData) -> tuple[BatchLoader, MakeLoader]:
        """The training loader, and what makes one for evaluation from any images."""
        config = self.config
        shared: dict[str, Any] = {
            "preprocessing": data.preprocessing,
            "drop_last": False,
            "order_seed": derived_seed(config.order_seed, "order"),
            "augment_seed": derived_seed(config.augment_seed, "augment"),
            "device": self.device,
            "channels_last": config.trainer.channels_last,
        }
        augment = build_augment(config, self.job.allowed_packages)
        size = config.trainer.batch_size
        train = BatchLoader(data.train, batch_size=size, shuffle=True, augment=augment, **shared, **self._part)
        evaluation: dict[str, Any] = {"batch_size": config.trainer.eval_batch_size, "shuffle": False, "augment": None}
        return train, lambda arrays, **part: BatchLoader(arrays, **evaluation, **shared, **part)

    @property
    def _part(self) -> dict[str, Any]:
        """Which part of each batch is this rank's."""
        return {"rank": self.group.rank, "world_size": self.group.size}

    def _numpy_learner(self, network: Network, train_loader: BatchLoader, val_loader: BatchLoader) -> Learner:
        total_steps = max(1, self._max_steps(len(train_loader)))
        return build_numpy_learner(
            self.config, network, train_loader, val_loader, total_steps, self._threads, self.job.allowed_packages
        )

    def _torch_learner(self, network: Network, train_loader: BatchLoader, val_loader: BatchLoader) -> Learner:
        trainer = self.config.trainer
        self.group.share_batch_statistics(network, self.device)
        network.to(self.device)
        if trainer.channels_last:
            network.to(memory_format=torch.channels_last)
        purpose = "dropout" if self.group.is_first else f"dropout/{self.group.rank}"
        torch.manual_seed(derived_seed(self.config.augment_seed, purpose))
        module = Classifier(
            network,
            build_optimizer(self.config, self.job.allowed_packages),
            build_schedule(self.config, self.job.allowed_packages),
            total_steps=max(1, self._max_steps(len(train_loader))),
            steps_per_epoch=len(train_loader),
            label_smoothing=trainer.label_smoothing,
            accumulate=trainer.accumulate,
        )
        if trainer.compile:
            module.compile_training()
        average = None if trainer.ema_decay is None else WeightAverage(network, trainer.ema_decay)
        dtype = AUTOCAST[trainer.precision]
        return TorchLearner(module, train_loader, val_loader, average=average, autocast_dtype=dtype, group=self.group)

    def _max_steps(self, steps_per_epoch: int) -> int:
        trainer = self.config.trainer
        whole = trainer.max_epochs * steps_per_epoch
        return whole if trainer.max_steps is None else min(whole, trainer.max_steps)

    def _books(self, learner: Learner, data: PreparedData, on_epoch: OnEpoch) -> Books:
        assert self._throughput is not None
        return Books(
            config=self.config,
            run_dir=self.job.run_dir,
            learner=learner,
            num_classes=data.num_classes,
            identity={"configuration": self.job.config_hash, "data": data.fingerprint},
            progress=self.progress,
            throughput=self._throughput,
            stop=self.stop,
            on_epoch=on_epoch,
            max_steps=self._max_steps(learner.steps_per_epoch),
            writes=self.group.is_first,
        )

    def _fit(self, books: Books, learner: Learner) -> None:
        resumed = None
        if (self.job.run_dir / LAST).is_file():
            resumed = load_checkpoint(self.job.run_dir / LAST)
            books.progress = self.progress = progress_of(resumed, books.identity)
            learner.load_network(resumed)
            self.resumed_times = list(self.progress.times)
            log.info("going on from epoch %d, step %d", self.progress.epoch, self.progress.step)
        if books.epochs_left > 0:
            self._train(books, learner, resumed)
        self._flags |= set(self.progress.flags)

    def _train(self, books: Books, learner: Learner, resumed: dict[str, Any] | None) -> None:
        if isinstance(learner, NumpyLearner):
            learner.fit(books)
        else:
            assert isinstance(learner, TorchLearner)
            profiled = self.config.trainer.profile and self.group.is_first
            profile = StepProfile(self.job.run_dir) if profiled else None
            callback = BooksCallback(books, learner, resumed, profile)
            steps = books.max_steps - self.progress.step
            trainer = lightning_trainer(self.config.trainer, self.device, books.epochs_left, steps, callback)
            trainer.fit(learner.module, train_dataloaders=learner.train_loader)

    def _restore_selected(self, learner: Learner) -> None:
        """Put the selected weights into the network: the best epoch's, or the last, averaged where they are."""
        network = learner.network
        if self.config.trainer.select != "best" or self.progress.best_epoch is None:
            network.load_state_dict(learner.weights())
            return
        state = load_checkpoint(self.job.run_dir / BEST)
        if state["epoch"] != self.progress.best_epoch:
            raise IntegrityError(
                f"{self.job.run_dir / BEST} holds epoch {state['epoch']}, not the best epoch "
                f"{self.progress.best_epoch}; delete the run directory and train again"
            )
        network.load_state_dict(state["network"])

    def facts(self) -> dict[str, Any]:
        """The record's fields that the session knows."""
        data, summary = self._data, self._summary
        return {
            "params_total": None if summary is None else summary.params_total,
            "params_head": None if summary is None else summary.params_head,
            "macs": None if summary is None else summary.macs,
            "images_per_second": None if self._throughput is None else self._throughput.images_per_second,
            "peak_memory_bytes": peak_memory_bytes(self.device),
            "data": {} if data is None else self._data_facts(data),
            "code_hash": self._code_hash,
            "epochs": self.progress.epoch,
            "steps": self.progress.step,
            "best_epoch": self.progress.best_epoch,
            "device": self.device,
            "devices": self.group.size,
            "flags": tuple(sorted(self._flags)),
        }

    @staticmethod
    def _data_facts(data: PreparedData) -> dict[str, Any]:
        return {
            "fingerprint": data.fingerprint,
            "files": [stamp(Path(f)) for f in data.files],
            "num_train": len(data.train),
            "num_val": len(data.val),
            "num_test": len(data.test),
            "num_classes": data.num_classes,
            "class_names": list(data.class_names),
            "chance": data.chance,
            "notes": data.notes,
        }
