"""Mirrors of a run in Weights & Biases and TensorBoard. None of them may stop or slow a run."""

from __future__ import annotations

import logging
import netrc
import os
import socket
import urllib.parse
from collections.abc import Callable
from typing import Any, Literal

from nin_exp.contracts.mirror import Mirror
from nin_exp.ranges import validated
from nin_exp.records.job import Job

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
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                log.warning("%s failed to %s and is off for this run: %s", type(mirror).__name__, what, reason)


class WandbMirror(Mirror):
    """Weights & Biases: one run each, grouped by study, with the arm as job type.

    Args:
        mode: ``auto`` logs online when there is a key and the server answers within 2 seconds, else offline.
        tags: added to the data set, backbone, head and optimizer.
    """

    @validated
    def __init__(
        self, *, project: str, entity: str | None, mode: Literal["auto", "online", "offline"], tags: list[str]
    ) -> None:
        self._project, self._entity, self._mode, self._tags = project, entity, mode, tags
        self._run: Any = None

    def start(self, job: Job, config: dict[str, Any]) -> None:
        import wandb

        choices = config["choices"]
        tags = [choices[g] for g in ("dataset", "backbone", "head", "optimizer") if g in choices]
        self._run = wandb.init(
            project=self._project,
            entity=self._entity,
            dir=str(job.run_dir),
            id=f"{job.study}-{job.job_id}"[:120],
            resume="allow",
            name=" ".join(p for p in (job.arm, job.block, f"seed {job.seed}") if p),
            group=job.study,
            job_type=job.arm or "train",
            tags=[t[:64] for t in dict.fromkeys([*tags, *self._tags])],
            config=config,
            mode="online" if self._is_online() else "offline",
            settings=wandb.Settings(silent=True, console="off", init_timeout=10, disable_git=True),
        )
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")

    def log(self, metrics: dict[str, float], epoch: int) -> None:
        self._run.log({**metrics, "epoch": epoch})

    def finish(self, summary: dict[str, Any], exit_code: int) -> None:
        if self._run is None:
            return
        self._run.summary.update(summary)
        self._run.finish(exit_code=exit_code)

    def _is_online(self) -> bool:
        if self._mode != "auto":
            return self._mode == "online"
        if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
            return False
        url = _server()
        return has_wandb_key() and _answers(str(url.hostname), url.port or (443 if url.scheme == "https" else 80))


def _server() -> urllib.parse.SplitResult:
    import wandb

    return urllib.parse.urlsplit(os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url)


def has_wandb_key() -> bool:
    """Whether W&B would find a key: in the environment, or stored by ``wandb login``."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(str(_server().hostname)) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


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
