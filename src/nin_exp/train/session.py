"""The work of one run: data, network, training with Lightning, evaluation of the selected weights."""

from __future__ import annotations

import json
import logging
import math
import warnings
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
from nin_exp.data.fingerprint import stamp
from nin_exp.data.folder import resolve_data_dir
from nin_exp.data.loader import BatchLoader
from nin_exp.data.prepare import PreparedData, prepare
from nin_exp.errors import DivergedError, IntegrityError
from nin_exp.layers.summary import NetworkSummary, summarize
from nin_exp.module.classifier import Classifier
from nin_exp.module.evaluate import Predictions, is_constant, metrics, predict
from nin_exp.records.files import write_json
from nin_exp.records.job import Job
from nin_exp.train.callback import OnEpoch, Run, RunCallback
from nin_exp.train.host import peak_memory_bytes, pick_device, settle
from nin_exp.train.run_files import BEST, LAST, prune_checkpoints, write_class_maps, write_input, write_predictions
from nin_exp.train.signals import StopRequest
from nin_exp.train.state import Progress, restore_network
from nin_exp.train.throughput import Throughput

log = logging.getLogger(__name__)
START_FILE = "start.json"
AUTOCAST = {"32": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Session:
    """Runs one job; ``facts()`` says at any time what is known so far, also after a failure."""

    def __init__(self, job: Job, config: ExperimentConfig, threads: int, stop: StopRequest) -> None:
        self.job, self.config, self.stop = job, config, stop
        self.device = ""
        # Before anything is trained: the files may be edited while a long run goes on with what it has imported.
        self._code_hash = code_hash(config, job.allowed_packages)
        self.progress = Progress()
        self.resumed_times: list[dict[str, float]] = []
        self._threads = self._first_choice(config.trainer.threads or threads)
        self._throughput: Throughput | None = None
        self._data: PreparedData | None = None
        self._summary: NetworkSummary | None = None
        self._flags: set[str] = set()

    def _first_choice(self, threads: int) -> int:
        """The thread count decides bits: keep what the job's first start chose."""
        path = self.job.run_dir / START_FILE
        if path.is_file():
            return int(json.loads(path.read_text(encoding="utf-8"))["threads"])
        write_json(path, {"threads": threads})
        return threads

    def run(self, on_epoch: OnEpoch) -> dict[str, Any]:
        """Train, select, evaluate, and write everything but the record; returns the metrics."""
        config, run_dir = self.config, self.job.run_dir
        self.device = pick_device(config.trainer.accelerator)
        settle(self._threads)
        self._throughput = Throughput(self.device)
        data = self._data = prepare(
            build_dataset(config, self.job.allowed_packages),
            resolve_data_dir(config.data_dir),
            config.split_seed,
        )
        write_input(run_dir, data)
        self.stop.check()
        network = build_network(config, data.image_spec, data.num_classes, self.job.allowed_packages)
        self._summary = summarize(network, data.image_spec)
        network.to(self.device)
        if config.trainer.channels_last:
            network.to(memory_format=torch.channels_last)
        torch.manual_seed(derived_seed(config.augment_seed, "dropout"))
        train_loader, val_loader, test_loader = self._loaders(data)
        module, run = self._prepare_run(network, train_loader, val_loader, data, on_epoch)
        self._fit(run)
        self._restore_selected(module)
        results = self._evaluate(network, {"val": val_loader, "test": test_loader})
        prune_checkpoints(run_dir, config.checkpoint.keep)
        return {"metrics": results}

    def _loaders(self, data: PreparedData) -> tuple[BatchLoader, BatchLoader, BatchLoader]:
        config = self.config
        shared: dict[str, Any] = {
            "mean": data.mean,
            "std": data.std,
            "drop_last": False,
            "order_seed": derived_seed(config.order_seed, "order"),
            "augment_seed": derived_seed(config.augment_seed, "augment"),
            "device": self.device,
            "channels_last": config.trainer.channels_last,
        }
        augment = build_augment(config, self.job.allowed_packages)
        train = BatchLoader(data.train, batch_size=config.trainer.batch_size, shuffle=True, augment=augment, **shared)
        evaluation = [
            BatchLoader(split, batch_size=config.trainer.eval_batch_size, shuffle=False, augment=None, **shared)
            for split in (data.val, data.test)
        ]
        return train, evaluation[0], evaluation[1]

    def _prepare_run(
        self,
        network: Any,
        train_loader: BatchLoader,
        val_loader: BatchLoader,
        data: PreparedData,
        on_epoch: OnEpoch,
    ) -> tuple[Classifier, Run]:
        config = self.config
        max_steps = config.trainer.max_epochs * len(train_loader)
        if config.trainer.max_steps is not None:
            max_steps = min(max_steps, config.trainer.max_steps)
        module = Classifier(
            network,
            build_optimizer(config, self.job.allowed_packages),
            build_schedule(config, self.job.allowed_packages),
            total_steps=max(1, max_steps),
            steps_per_epoch=len(train_loader),
            label_smoothing=config.trainer.label_smoothing,
        )
        assert self._throughput is not None
        run = Run(
            config=config,
            run_dir=self.job.run_dir,
            module=module,
            train_loader=train_loader,
            val_loader=val_loader,
            identity={"configuration": self.job.config_hash, "data": data.fingerprint},
            progress=self.progress,
            throughput=self._throughput,
            stop=self.stop,
            on_epoch=on_epoch,
            autocast_dtype=AUTOCAST[config.trainer.precision],
            max_steps=max_steps,
        )
        return module, run

    def _fit(self, run: Run) -> None:
        resumed = None
        if (self.job.run_dir / LAST).is_file():
            resumed = load_checkpoint(self.job.run_dir / LAST)
            run.progress = self.progress = restore_network(resumed, run.module, run.train_loader, run.identity)
            self.resumed_times = list(self.progress.times)
            log.info("going on from epoch %d, step %d", self.progress.epoch, self.progress.step)
        progress, trainer_config = run.progress, self.config.trainer
        epochs_left = trainer_config.max_epochs - progress.epoch
        steps_left = run.max_steps - progress.step
        if epochs_left > 0 and steps_left > 0 and "stopped_early" not in progress.flags:
            trainer = self._lightning(epochs_left, steps_left, RunCallback(run, resumed))
            trainer.fit(run.module, train_dataloaders=run.train_loader)
        self._flags |= set(progress.flags) | self._dead_head_flags()

    def _lightning(self, epochs: int, steps: int, callback: RunCallback) -> Any:
        """Lightning as an engine: precision, device and hooks; the books are ours, so that they can be restored."""
        import pytorch_lightning as pl
        from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]

        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*(GPU|TPU|MPS) available but not used.*")
        config = self.config.trainer
        return pl.Trainer(
            accelerator="gpu" if self.device == "cuda" else "cpu",
            devices=1,
            max_epochs=epochs,
            max_steps=steps,
            precision="32-true" if config.precision == "32" else config.precision,
            gradient_clip_val=config.clip_norm,
            deterministic=config.deterministic,
            callbacks=[callback],
            plugins=[LightningEnvironment()],  # a SLURM job's own ranks are not Lightning's business
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )

    def _restore_selected(self, module: Classifier) -> None:
        if self.config.trainer.select != "best" or self.progress.best_epoch is None:
            return
        state = load_checkpoint(self.job.run_dir / BEST)
        if state["epoch"] != self.progress.best_epoch:
            raise IntegrityError(
                f"{self.job.run_dir / BEST} holds epoch {state['epoch']}, not the best epoch "
                f"{self.progress.best_epoch}; delete the run directory and train again"
            )
        module.network.load_state_dict(state["network"])

    def _evaluate(self, network: Any, loaders: dict[str, BatchLoader]) -> dict[str, float]:
        """Every split once, on all its examples, with the selected weights."""
        network.to(self.device)
        splits: dict[str, Predictions] = {}
        results: dict[str, float] = {}
        for name, loader in loaders.items():
            splits[name] = predict(
                network,
                loader,
                autocast_dtype=AUTOCAST[self.config.trainer.precision],
                before_batch=self.stop.check,
            )
            if not bool(splits[name].logits.isfinite().all()):
                raise DivergedError(f"the network's outputs on {name} are not finite; lower optimizer.lr")
            results |= metrics(splits[name], name)
        if self.progress.rows:
            results |= {k: v for k, v in self.progress.rows[-1].items() if k.startswith("train/")}
        if is_constant(splits["test"]):
            self._flags.add("constant_predictor")
        write_predictions(self.job.run_dir, splits)
        if write_class_maps(self.job.run_dir, network, loaders["test"], self.config.evaluation.panel):
            self._flags.add("dead_head")
        return results

    def _dead_head_flags(self) -> set[str]:
        """A head whose class maps are all zero says ln K for every example, an epoch long."""
        if self._data is None or not self.progress.rows:
            return set()
        chance_loss = math.log(self._data.num_classes)
        return {"dead_head"} if abs(self.progress.rows[-1]["train/loss"] - chance_loss) < 1e-4 else set()

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
