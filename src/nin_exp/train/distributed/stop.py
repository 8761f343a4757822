"""Stopping ranks at the same batch."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from nin_exp.train.signals import StopRequest

if TYPE_CHECKING:
    from nin_exp.train.distributed.group import Group

STEPS_BETWEEN_QUESTIONS = {"cpu": 1, "cuda": 10}
"""Each question lets the ranks wait for each other: nothing beside a CPU's step, but GPUs run ahead of their hosts."""


class RankStopRequest(StopRequest):
    """The stop request of one rank, which becomes that of all: no rank stops before all have agreed.

    The job sends SIGTERM. A Ctrl-C or a closed terminal is the job's to hear.
    """

    def __init__(self) -> None:
        super().__init__()
        self._group: Group | None = None
        self._every = 1

    def install(self) -> None:
        """Take SIGTERM, and leave what a terminal sends."""
        for number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
            signal.signal(number, signal.SIG_IGN)
        numbers = [signal.SIGTERM]
        if "SLURM_JOB_ID" in os.environ:
            numbers += [signal.SIGUSR1, signal.SIGUSR2]
        for number in numbers:
            signal.signal(number, self._remember)

    def ask(self, group: Group, device: str) -> None:
        """From now on agree with these ranks."""
        self._group, self._every = group, STEPS_BETWEEN_QUESTIONS[device]

    def is_agreed(self, step: int | None) -> bool:
        """Ask all ranks, after every tenth step on GPUs and every step on CPUs, and always between epochs."""
        if self._group is None:
            return self.is_set
        if step is not None and step % self._every:
            return False
        number = self._group.largest(self.signal_number or 0)
        if number == 0:
            return False
        self.signal_number = number
        return True
