"""The job's side of training by several ranks: it starts them, listens to them, and says how they ended.

Ranks are processes of ``torch.distributed.elastic.multiprocessing``, the part of torchrun that starts and ends them.
They never see the command line: each is told its job. The job's process computes nothing; it takes the signals, the
mirrors and the record, and its run directory is the only one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, start_processes
from torch.distributed.elastic.multiprocessing.api import SubprocessContext

from nin_exp.compose.identity import code_hash
from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError
from nin_exp.records.job import Job
from nin_exp.train.distributed.group import LOOPBACK, open_store
from nin_exp.train.distributed.verdict import Ending, outcome_of
from nin_exp.train.host import pick_device
from nin_exp.train.session import first_choice
from nin_exp.train.signals import StopRequest
from nin_exp.train.state import Progress

OnEpoch = Callable[[Progress, float | None], None]
PATIENCE_SECONDS = 3.0
"""After the end of one rank, for the others to notice and to say what they saw."""
SAVING_SECONDS = 25.0
"""For ranks that were asked to stop; less than a plan gives its jobs."""
_POLL_SECONDS = 0.05


class DistributedSession:
    """Stands for a ``Session`` in the process of a job whose ranks have one each.

    Args:
        threads: of the job, shared out among its ranks.
    """

    def __init__(self, job: Job, config: ExperimentConfig, threads: int, stop: StopRequest) -> None:
        self.job, self.config, self.stop = job, config, stop
        self.resumed_times: list[dict[str, float]] = []
        self._size = config.trainer.devices
        self._threads = first_choice(job.run_dir, config.trainer.threads or threads)
        self._facts: dict[str, Any] = {
            **dict.fromkeys(("params_total", "params_head", "macs", "images_per_second", "peak_memory_bytes")),
            "code_hash": code_hash(config, job.allowed_packages),
            "devices": self._size,
        }
        self._epochs = 0  # that ranks have told of

    def facts(self) -> dict[str, Any]:
        """The record's fields that the first rank has told last."""
        return {**self._facts, "flags": tuple(self._facts.get("flags", ()))}

    def run(self, on_epoch: OnEpoch) -> dict[str, Any]:
        """Train with all ranks; returns what the first one has measured.

        Raises:
            NinExpError: a rank has failed, or has died; all others have ended.
            Stopped: a signal came; the state is saved.
        """
        device = pick_device(self.config.trainer.accelerator)
        self._facts["device"] = device
        gpus = self._gpus() if device == "cuda" else None
        logging.getLogger("torch.distributed.elastic").setLevel(logging.ERROR)
        store, port = open_store()
        ranks = self._start(port, gpus)
        if ranks is None:
            self.stop.check()
            raise AssertionError("start_processes was interrupted without a signal")
        try:
            self._attend(ranks, store, on_epoch)
        finally:
            codes = {rank: process.proc.poll() for rank, process in ranks.subprocess_handlers.items()}
            ranks.close(signal.SIGKILL)  # who still runs now has no say any more
        endings = _read_endings(store)
        for ending in endings:
            self._note(ending.told)
        return outcome_of(endings, codes, self.stop)

    def _gpus(self) -> list[str]:
        """One GPU a rank, as CUDA_VISIBLE_DEVICES names it."""
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        count = torch.cuda.device_count()
        visible = [str(i) for i in range(count)] if named is None else [g.strip() for g in named.split(",")][:count]
        if len(visible) < self._size:
            raise ConfigError(
                f"trainer.devices must be at most the {len(visible)} GPUs that the job sees, got {self._size}; "
                "lower it, or leave executor.gpus_per_job null"
            )
        return visible[: self._size]

    def _start(self, port: int, gpus: list[str] | None) -> SubprocessContext | None:
        """Start the ranks; None when a signal came meanwhile."""
        environments = {rank: self._environment(rank, port, gpus) for rank in range(self._size)}
        arguments = dict.fromkeys(range(self._size), ("-P", "-m", "nin_exp.train.distributed.rank"))
        try:
            # A signal that comes meanwhile raises; the ranks started so far are ended then.
            context = start_processes(
                "nin-exp", sys.executable, arguments, environments, DefaultLogsSpecs(log_dir=os.devnull)
            )
        except SignalException as error:
            self.stop.install()
            self.stop.signal_number = int(error.sigval)
            return None
        self.stop.install()  # start_processes has set handlers of its own
        assert isinstance(context, SubprocessContext)
        return context

    def _environment(self, rank: int, port: int, gpus: list[str] | None) -> dict[str, str]:
        job = {**asdict(self.job), "run_dir": str(self.job.run_dir)}
        order = {
            "job": job, "threads": self._threads, "rank": rank, "size": self._size, "port": port, "job_pid": os.getpid()
        }  # fmt: skip
        loopback = "lo" if sys.platform == "linux" else "lo0"
        environment = {
            "NIN_EXP_RANK": json.dumps(order),
            "PYTHONPATH": os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path),
            "OMP_NUM_THREADS": str(max(1, self._threads // self._size)),
            "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", loopback),
            "NCCL_SOCKET_IFNAME": os.environ.get("NCCL_SOCKET_IFNAME", loopback),
            # DDP warns of find_unused_parameters where there are none; see Group.parallel.
            "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
            # What torchrun sets, for code that asks.
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(self._size),
            "LOCAL_WORLD_SIZE": str(self._size), "MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(port),
        }  # fmt: skip
        return environment if gpus is None else {**environment, "CUDA_VISIBLE_DEVICES": gpus[rank]}

    def _attend(self, ranks: SubprocessContext, store: TCPStore, on_epoch: OnEpoch) -> None:
        """Pass epochs and signals on until all ranks have ended, or must be ended."""
        processes = [handler.proc for handler in ranks.subprocess_handlers.values()]
        plan = multiprocessing.parent_process()
        deadline = float("inf")
        is_told = has_failed = False
        while time.monotonic() < deadline:
            codes = [process.poll() for process in processes]
            self._read_epochs(store, on_epoch)
            if None not in codes:
                return
            if plan is not None and not plan.is_alive() and not self.stop.is_set:
                self.stop.signal_number = signal.SIGTERM  # nobody waits for the job any more
            if self.stop.is_set and not is_told:
                is_told, deadline = True, min(deadline, time.monotonic() + SAVING_SECONDS)
                for process in processes:
                    with contextlib.suppress(ProcessLookupError):
                        process.terminate()
            if any(codes) and not has_failed:
                has_failed, deadline = True, min(deadline, time.monotonic() + PATIENCE_SECONDS)
            time.sleep(_POLL_SECONDS)

    def _read_epochs(self, store: TCPStore, on_epoch: OnEpoch) -> None:
        while store.check([key := f"epoch/{self._epochs}"]):
            told = json.loads(store.get(key))
            store.delete_key(key)
            self._epochs += 1
            self._note(told)
            on_epoch(Progress(**told["progress"]), told["facts"]["images_per_second"])

    def _note(self, told: dict[str, Any]) -> None:
        if told:
            self._facts |= told["facts"]
            self.resumed_times = told["resumed_times"]


def _read_endings(store: TCPStore) -> list[Ending]:
    """What ranks have said at their ends, in the order in which they said it."""
    count = store.add("endings", 0)
    keys = [f"ending/{number}" for number in range(1, count + 1)]
    return [Ending(**json.loads(store.get(key))) for key in keys if store.check([key])]
