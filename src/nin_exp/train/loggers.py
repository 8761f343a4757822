"""Mirrors of a run in Weights & Biases and TensorBoard. None of them may stop or slow a run."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from nin_exp.contracts.mirror import Mirror
from nin_exp.ranges import validated
from nin_exp.records.job import Job
from nin_exp.records.redact import redact_text
from nin_exp.records.wandb_server import why_offline

log = logging.getLogger(__name__)


class Mirrors:
    """All mirrors of a run; one that raises is dropped with one warning."""

    def __init__(self, mirrors: list[Mirror]) -> None:
        self._mirrors = mirrors

    def start(self, job: Job, config: dict[str, Any]) -> None:
        self._each("start", lambda mirror: mirror.start(job, config))

    def log(self, metrics: dict[str, float], epoch: int) -> None:
        self._each("log", lambda mirror: mirror.log(metrics, epoch))

    def finish(self, summary: dict[str, Any], exit_code: int) -> None:
        self._each("finish", lambda mirror: mirror.finish(summary, exit_code))
        self._mirrors = []

    def _each(self, what: str, call: Callable[[Mirror], None]) -> None:
        for mirror in list(self._mirrors):
            try:
                call(mirror)
            except Exception as error:  # whatever a tracker raises, the run goes on
                self._mirrors.remove(mirror)
                log.warning(
                    "%s failed to %s and is off for this run: %s", type(mirror).__name__, what, _first_line(error)
                )


class WandbMirror(Mirror):
    """Weights & Biases: one run each, grouped by study, with the arm as job type.

    Args:
        mode: ``auto`` logs online when there is a key and the server answers, else offline.
        tags: added to the data set, backbone, head and optimizer.
    """

    @validated
    def __init__(
        self, *, project: str, entity: str | None, mode: Literal["auto", "online", "offline"], tags: list[str]
    ) -> None:
        self._project, self._entity, self._mode, self._tags = project, entity, mode, tags
        self._run: Any = None
        self._run_dir: Path | None = None

    def start(self, job: Job, config: dict[str, Any]) -> None:
        choices = config["choices"]
        tags = [choices[g] for g in ("dataset", "backbone", "head", "optimizer") if g in choices]
        self._run_dir = job.run_dir
        self._run = self.open(
            dir=str(job.run_dir),
            id=wandb_id(job.study, job.job_id),
            name=" ".join(p for p in (job.arm, job.block, f"seed {job.seed}") if p),
            group=job.study,
            job_type=job.arm or "train",
            tags=[t[:64] for t in dict.fromkeys([*tags, *self._tags])],
            notes=redact_text(job.command),
            config=config,
        )
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")
        for name, best in BEST_OF_EPOCHS.items():
            self._run.define_metric(name, step_metric="epoch", summary=best)

    def open(self, **arguments: Any) -> Any:
        """Start a W&B run in this project; with ``mode=auto`` offline where the server does not take it."""
        import wandb

        shared = {"project": self._project, "entity": self._entity, "resume": "allow", "settings": _settings()}
        if not self._is_online():
            return wandb.init(**shared, **arguments, mode="offline")
        try:
            return wandb.init(**shared, **arguments, mode="online")
        except Exception as error:  # whatever it raises, the run can be logged offline
            if self._mode == "online":
                raise
            log.warning("W&B took no run (%s): it is logged offline, for `wandb sync`", _first_line(error))
            wandb.teardown(exit_code=1)  # its service still holds the id for the run that failed
            return wandb.init(**shared, **arguments, mode="offline")

    def log(self, metrics: dict[str, float], epoch: int) -> None:
        self._run.log({**metrics, "epoch": epoch})

    def finish(self, summary: dict[str, Any], exit_code: int) -> None:
        if self._run is None:
            return
        try:
            self._run.summary.update(summary)  # first: for tables W&B asks its server, which may have broken meanwhile
            if exit_code == 0 and self._run_dir is not None:
                self._run.log(_media(self._run_dir))
        finally:
            self._run.finish(exit_code=exit_code)

    def _is_online(self) -> bool:
        if self._mode != "auto":
            return self._mode == "online"
        return why_offline() is None


BEST_OF_EPOCHS = {"val/acc": "max", "val/loss": "min", "train/acc": "max", "train/loss": "min"}
"""What W&B shows of a metric that is logged each epoch; the record's own numbers replace it at the end."""

INIT_SECONDS = 10.0
FINISH_SECONDS = 30.0
"""How long a server may hold a run up at its start and at its end. All of it also stands in the run directory."""


def wandb_id(study: str, name: str) -> str:
    """An id that W&B takes, the same for the same run, so that a run that goes on is one run there too."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', study)[:100]}-{name}"


def _settings() -> Any:
    import wandb

    wanted: dict[str, Any] = {
        "silent": True,
        "console": "off",
        "disable_git": True,
        "init_timeout": INIT_SECONDS,
        "finish_timeout": FINISH_SECONDS,  # newer versions have it; older ones wait as long as their retries take
        "x_graphql_retry_max": 3,
        "x_graphql_timeout_seconds": INIT_SECONDS,
        "x_file_stream_retry_max": 3,
        "x_file_stream_timeout_seconds": INIT_SECONDS,
        "x_file_transfer_retry_max": 3,
        "x_file_transfer_timeout_seconds": FINISH_SECONDS,
    }
    return wandb.Settings(**{key: value for key, value in wanted.items() if key in wandb.Settings.model_fields})


def _media(run_dir: Path) -> dict[str, Any]:
    """Class maps of a few panel images, and the confusion matrix of the test split."""
    import wandb

    from nin_exp.train.wandb_media import class_map_pictures, confusion

    found: dict[str, Any] = {}
    pictures = class_map_pictures(run_dir)
    if pictures:
        found["class_maps"] = [wandb.Image(picture, caption=caption) for picture, caption in pictures]
    matrix = confusion(run_dir)
    if matrix is not None:
        found["confusion_matrix"] = wandb.plot.confusion_matrix(
            y_true=matrix.labels, preds=matrix.predicted, class_names=matrix.class_names
        )
    return found


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


class TensorBoardMirror(Mirror):
    """TensorBoard event files in the run directory, by Lightning's logger."""

    def __init__(self) -> None:
        self._logger: Any = None

    def start(self, job: Job, config: dict[str, Any]) -> None:
        from pytorch_lightning.loggers import TensorBoardLogger

        self._logger = TensorBoardLogger(save_dir=str(job.run_dir), name="", version="tensorboard")
        self._logger.log_hyperparams({k: v for k, v in config.items() if not isinstance(v, dict)})

    def log(self, metrics: dict[str, float], epoch: int) -> None:
        self._logger.log_metrics(metrics, step=epoch)

    def finish(self, summary: dict[str, Any], exit_code: int) -> None:
        if self._logger is None:
            return
        final = {f"final/{k}": v for k, v in summary.items() if isinstance(v, int | float)}
        self._logger.log_metrics(final, step=0)
        self._logger.finalize("success" if exit_code == 0 else "failed")
