"""Everything that a run needs to go on as if it had never stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nin_exp.errors import IntegrityError

STOP_FLAGS = ("stopped_early", "stopped_above", "schedule_finished")
"""Why a run ended before its last epoch: trainer.patience, trainer.stop_above, the schedule."""


@dataclass
class Progress:
    """Where a run is, and what it has seen.

    Args:
        epoch: epochs that are complete.
        step: optimizer steps done.
        batch: batches done in the epoch under way; 0 between epochs.
        rows: a metrics row for each complete epoch.
        times: seconds of training and of evaluation for each complete epoch, and the training images timed.
        best: epoch (counted from 1) and value of the best validation accuracy.
        flags: findings so far, as in a record.
    """

    epoch: int = 0
    step: int = 0
    batch: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    times: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    best_value: float = float("-inf")
    flags: list[str] = field(default_factory=list)

    def add_flag(self, flag: str) -> bool:
        """Note a finding; says whether it is new."""
        if flag in self.flags:
            return False
        self.flags.append(flag)
        return True

    @property
    def is_stopped(self) -> bool:
        """Whether a rule has ended the training."""
        return any(flag in STOP_FLAGS for flag in self.flags)

    def state_dict(self) -> dict[str, Any]:
        """Plain containers, for a checkpoint."""
        return dict(vars(self))


def progress_of(state: dict[str, Any], identity: dict[str, str]) -> Progress:
    """The progress that a checkpoint holds.

    Args:
        identity: hashes of the configuration and the data.

    Raises:
        IntegrityError: the checkpoint belongs to another configuration or other data.
    """
    for name, value in identity.items():
        if state["identity"].get(name) != value:
            raise IntegrityError(
                f"the checkpoint was made from another {name}; train into another study, or delete the run directory"
            )
    return Progress(**state["progress"])
