"""The record of one run: what was trained, how it went, and with what code and data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from nin_exp.errors import IntegrityError
from nin_exp.records.files import write_json

SCHEMA_VERSION = 1
RECORD_FILE = "record.json"
Status = Literal["done", "failed", "diverged", "pruned"]


@dataclass(frozen=True)
class Record:
    """One finished run (also a failed one), as ``record.json`` holds it.

    Args:
        job_id: the name of the run directory; a hash of the configuration.
        arm: what is compared, such as ``gap``; empty outside comparisons.
        block: the other settings that the arms share, such as ``mnist``.
        seeds: the four seeds that were used: split, init, order, augment.
        metrics: flat, named ``split/name``; accuracies are fractions.
        images_per_second: training images by the time of training steps, loader and augmentation included,
            without evaluation, checkpoints and the first 10 steps; None for runs that are too short.
        data: ``fingerprint`` (of the arrays), ``files`` (path, size, mtime_ns, sha256 of each file read),
            ``num_train num_val num_test num_classes`` and ``chance`` (share of the most frequent test class).
        group_hash: the configuration's hash without its seeds; runs that share it differ by chance alone.
        code_hash: of the source of the classes that were used.
        devices: of this kind that trained the run together.
        flags: findings a reader must know, such as ``dead_head``.
    """

    job_id: str
    study: str
    status: Status
    exit_code: int
    config_hash: str
    seed: int
    dataset: str
    backbone: str
    head: str
    optimizer: str
    arm: str
    block: str
    metrics: dict[str, float]
    params_total: int | None
    params_head: int | None
    macs: int | None
    images_per_second: float | None
    wall_seconds: float
    peak_memory_bytes: int | None
    started_at: str
    finished_at: str
    git: dict[str, Any]
    versions: dict[str, str]
    command: str
    seeds: dict[str, int] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    group_hash: str = ""
    code_hash: str = ""
    epochs: int = 0
    steps: int = 0
    best_epoch: int | None = None
    device: str = ""
    devices: int = 1
    flags: tuple[str, ...] = ()
    error: str | None = None
    schema_version: int = SCHEMA_VERSION

    def write(self, run_dir: Path) -> None:
        """Write ``record.json`` in one atomic step; the run counts as finished from then on."""
        write_json(run_dir / RECORD_FILE, asdict(self))

    @staticmethod
    def read(run_dir: Path) -> Record:
        """Read a run directory's record.

        Raises:
            FileNotFoundError: the run has not finished.
            IntegrityError: the file is not a record, or of a newer schema.
        """
        path = run_dir / RECORD_FILE
        text = path.read_bytes().decode()
        try:
            values = json.loads(text)
            version = values["schema_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path} must be a run's record, but cannot be read; run the job again") from error
        if version > SCHEMA_VERSION:
            raise IntegrityError(f"{path} must have schema version <= {SCHEMA_VERSION}, got {version}; update nin-exp")
        values = {k: v for k, v in values.items() if k in _KNOWN}
        values["flags"] = tuple(values.get("flags", ()))
        try:
            return Record(**values)
        except TypeError as error:
            raise IntegrityError(f"{path} must be a run's record, but lacks fields; run the job again") from error


_KNOWN = frozenset(f.name for f in fields(Record))
