"""How this machine is shared out among jobs: cores, or GPUs and fractions of GPUs. Found without torch."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nin_exp.cores import available_cores
from nin_exp.errors import ConfigError
from nin_exp.executors.demand import Demand

_MEMORY_PER_PROCESS = 2 * 2**30


@dataclass(frozen=True)
class Slot:
    """A place where one job runs: its share of the cores, and its GPUs where there are any."""

    threads: int
    gpus: tuple[str, ...] | None


def make_slots(
    demand: Demand, *, workers: int | None, gpus: Sequence[int | str] | None, gpus_per_job: float | None
) -> list[Slot]:
    """Share out this machine: slots of whole GPUs or shares of one, else a core for each device of a job.

    Without GPUs there are no more slots than jobs, and than memory for their processes.

    Raises:
        ConfigError: ``executor.gpus`` names a GPU twice, or a job wants more GPUs than there are, or two and a half.
    """
    if gpus_per_job is not None and gpus_per_job > 1 and gpus_per_job != int(gpus_per_job):
        raise ConfigError(
            f"executor.gpus_per_job must be whole above 1, got {gpus_per_job:g}; "
            "a share of one GPU is below 1, such as 0.5"
        )
    found = declared_gpus(gpus) if demand.use_gpus else []
    cores = available_cores()
    if found:
        groups = _groups(found, demand.gpus_per_job(gpus_per_job))
        groups = groups[: workers or len(groups)]
        return [Slot(max(1, cores // len(groups)), group) for group in groups]
    if workers is None:
        fitting = _free_memory() // (_MEMORY_PER_PROCESS * demand.devices)
        workers = max(1, min(cores // demand.devices, demand.num_jobs, fitting))
    return [Slot(max(1, cores // workers), None)] * workers


def _groups(gpus: list[str], gpus_per_job: float) -> list[tuple[str, ...]]:
    """Which GPUs each slot sees. Shares of a GPU are dealt round: with few jobs, each has a GPU of its own."""
    if gpus_per_job < 1:
        jobs_per_gpu = int(1 / gpus_per_job + 1e-9)
        return [(gpu,) for _ in range(jobs_per_gpu) for gpu in gpus]
    size = int(gpus_per_job)
    if size > len(gpus):
        raise ConfigError(f"executor.gpus_per_job must be at most the {len(gpus)} GPUs there are, got {size}; lower it")
    return [tuple(gpus[i : i + size]) for i in range(0, len(gpus) - size + 1, size)]


def declared_gpus(gpus: Sequence[int | str] | None) -> list[str]:
    """The GPUs that jobs may use: those that are named, else those that are visible.

    Raises:
        ConfigError: one is named twice.
    """
    if gpus is None:
        return visible_gpus()
    named = [str(gpu) for gpu in gpus]
    if len(set(named)) != len(named):
        raise ConfigError(f"executor.gpus must name each GPU once, got {named}; a share is executor.gpus_per_job=0.5")
    return named


def visible_gpus() -> list[str]:
    """Ids of the GPUs this process may use."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [g.strip() for g in named.split(",") if g.strip() and g.strip() != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode == 0:
            return done.stdout.split()
    return []


def _free_memory() -> int:
    """Bytes that new processes may fill.

    What the kernel calls free will not do: after an installation the page cache holds most of it, and gives it back.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        (available,) = (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        return min(available, _container_memory())
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 8 * 2**30


def _container_memory() -> int:
    """The limit of the container that this is, if it is one (cgroup v2)."""
    with contextlib.suppress(OSError, ValueError):  # no file, or "max"
        return int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
    return sys.maxsize
