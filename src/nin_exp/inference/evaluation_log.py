"""``evaluations.json``: each time a run's test split, or another data set's, was read after training."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from nin_exp.errors import IntegrityError, RefusedError
from nin_exp.inference.other_data import DataChoice
from nin_exp.records.files import write_json
from nin_exp.records.record import Record

EVALUATIONS_FILE = "evaluations.json"
_SCHEMA_VERSION = 1


class EvaluationLog:
    """The test readings of a run directory, the one at the end of training included."""

    def __init__(self, run_dir: Path, record: Record) -> None:
        self.path = run_dir / EVALUATIONS_FILE
        self._record = record

    def entries(self) -> list[dict[str, Any]]:
        """What was read after training, oldest first.

        Raises:
            IntegrityError: the file is damaged, or of a newer schema.
        """
        if not self.path.is_file():
            return []
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
            version, entries = values["schema_version"], list(values["evaluations"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{self.path} must list the test readings, but cannot be read; restore it") from error
        if version > _SCHEMA_VERSION:
            raise IntegrityError(f"{self.path} must have schema version <= {_SCHEMA_VERSION}, got {version}; update")
        return entries

    def refuse_second(self, fingerprint: str, *, again: bool) -> None:
        """Refuse to read the test split of a data set again, unless asked to.

        Raises:
            RefusedError: it was read, in training or later.
        """
        if again:
            return
        in_training = fingerprint == self._record.data.get("fingerprint") and "test/acc" in self._record.metrics
        earlier = [entry["at"] for entry in self.entries() if entry["fingerprint"] == fingerprint]
        if in_training or earlier:
            when = earlier[-1] if earlier else self._record.finished_at
            raise RefusedError(
                f"the test split was read already ({when}), and choosing by it spoils it; use --split val, "
                "`nin-exp show` for what it said, or --again to read it anyway (which is kept)"
            )

    def add(
        self,
        fingerprint: str,
        choice: DataChoice,
        metrics: dict[str, float],
        num_examples: int,
        *,
        weights: str,
        again: bool,
    ) -> None:
        """Keep a reading, before anybody sees its numbers.

        Raises:
            StorageError: the run directory cannot be written.
        """
        entry = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "split": "test",
            "dataset": choice.name,
            "overrides": list(choice.overrides),
            "fingerprint": fingerprint,
            "num_examples": num_examples,
            "weights": weights,
            "again": again,
            "metrics": metrics,
        }
        lock = self.path.with_name(f".{EVALUATIONS_FILE}.lock")
        with FileLock(lock):
            write_json(self.path, {"schema_version": _SCHEMA_VERSION, "evaluations": [*self.entries(), entry]})
        lock.unlink(missing_ok=True)
