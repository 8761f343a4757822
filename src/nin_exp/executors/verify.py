"""Whether a run gives the same bits again: it is trained once more elsewhere, and the two are compared."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nin_exp.checkpoint.files import load_checkpoint
from nin_exp.errors import ConfigError
from nin_exp.executors.inline import run_inline
from nin_exp.records.job import Job
from nin_exp.records.record import Record
from nin_exp.train.books import OnEpoch
from nin_exp.train.run_files import BEST, LAST, METRICS_FILE
from nin_exp.train.session import START_FILE


@dataclass(frozen=True)
class Verification:
    """What was compared and what differs, each as a short text.

    Args:
        circumstances: differences between now and then that may explain others: versions, device.
    """

    equal: tuple[str, ...]
    different: tuple[str, ...]
    circumstances: tuple[str, ...]


def verify(job: Job, run_dir: Path, scratch: Path, on_epoch: OnEpoch) -> Verification:
    """Train a job again in an empty folder and compare it with what it gave the first time.

    Args:
        job: of the run's own configuration. run_dir: the first time. scratch: an empty folder.

    Raises:
        ConfigError: the run is not done.
        NinExpError: the repeat failed.
    """
    try:
        first = Record.read(run_dir)
    except FileNotFoundError as error:
        raise ConfigError(f"{run_dir} has not finished: there is nothing to verify; run its command again") from error
    if first.status != "done":
        raise ConfigError(f"{run_dir} must be a run that is done, got {first.status}; there is nothing to verify")
    again_dir = scratch / job.job_id
    again_dir.mkdir()
    if (run_dir / START_FILE).is_file():  # the number of threads decides bits
        shutil.copy(run_dir / START_FILE, again_dir / START_FILE)
    second = run_inline(replace(job, run_dir=again_dir), on_epoch)
    equal: list[str] = []
    different: list[str] = []
    for name, problem in _compare(run_dir, again_dir, first, second):
        (equal if problem is None else different).append(name if problem is None else f"{name} ({problem})")
    return Verification(tuple(equal), tuple(different), _circumstances(first, second))


def _compare(one: Path, two: Path, first: Record, second: Record) -> list[tuple[str, str | None]]:
    names = sorted({*first.metrics, *second.metrics})
    unequal = [n for n in names if not _same_number(first.metrics.get(n), second.metrics.get(n))]
    found = [("metrics of the record", _example(unequal, first, second))]
    if (one / METRICS_FILE).is_file():
        same = (one / METRICS_FILE).read_bytes() == (two / METRICS_FILE).read_bytes()
        found.append((METRICS_FILE, None if same else "rows differ"))
    if (one / "predictions.npz").is_file():
        found.append(("predictions", _compare_arrays(one / "predictions.npz", two / "predictions.npz")))
    for path in (BEST, LAST):
        if (one / path).is_file() and (two / path).is_file():
            states = (load_checkpoint(one / path)["network"], load_checkpoint(two / path)["network"])
            found.append((f"weights of {path.name}", _compare_weights(*states)))
    return found


def _same_number(one: float | None, two: float | None) -> bool:
    return one == two or (one is not None and two is not None and one != one and two != two)


def _example(unequal: list[str], first: Record, second: Record) -> str | None:
    if not unequal:
        return None
    name = "test/acc" if "test/acc" in unequal else unequal[0]
    more = f", {len(unequal)} in all" if len(unequal) > 1 else ""
    return f"{name} was {first.metrics.get(name)!r}, is {second.metrics.get(name)!r}{more}"


def _compare_arrays(one: Path, two: Path) -> str | None:
    with np.load(one, allow_pickle=False) as a, np.load(two, allow_pickle=False) as b:
        if set(a.files) != set(b.files):
            return f"splits differ: {', '.join(sorted(set(a.files) ^ set(b.files)))}"
        unequal = [n for n in a.files if a[n].shape != b[n].shape or a[n].tobytes() != b[n].tobytes()]
    return f"{', '.join(unequal)} differ" if unequal else None


def _compare_weights(one: Mapping[str, Any], two: Mapping[str, Any]) -> str | None:
    if list(one) != list(two):
        return "the layers differ"
    unequal = [name for name in one if not _same_bits(one[name], two[name])]
    return f"{len(unequal)} of {len(one)} tensors differ, such as {unequal[0]}" if unequal else None


def _same_bits(one: Tensor, two: Tensor) -> bool:
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    pair = [tensor.detach().cpu().contiguous().flatten() for tensor in (one, two)]
    return pair[0].numpy().tobytes() == pair[1].numpy().tobytes()


def _circumstances(first: Record, second: Record) -> tuple[str, ...]:
    found = []
    if first.code_hash != second.code_hash:
        found.append("the code of the classes has changed since")
    if first.device != second.device:
        found.append(f"it ran on {first.device}, now on {second.device}")
    for name in sorted({*first.versions, *second.versions}):
        then, now = first.versions.get(name, "none"), second.versions.get(name, "none")
        if then != now:
            found.append(f"{name} was {then}, is {now}")
    if first.data.get("fingerprint") != second.data.get("fingerprint"):
        found.append("the data have changed since")
    return tuple(found)
