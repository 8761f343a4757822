"""Ctrl-C and SIGTERM to a plan: remembered, so that its jobs can save before it ends."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any

from nin_exp.errors import EXIT_SIGINT, EXIT_SIGTERM
from nin_exp.train.signals import hangup

GRACE_SECONDS = 30.0
"""How long a job may take to save before it is killed."""


class StopSignals:
    """Takes over SIGINT, SIGTERM and SIGHUP while a plan runs; a second Ctrl-C ends the process at once."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        numbers = [signal.SIGINT, signal.SIGTERM, *hangup()]
        self._previous = {number: signal.signal(number, self._remember) for number in numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def is_set(self) -> bool:
        """Whether a signal has come."""
        return self._number is not None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, else 143."""
        return EXIT_SIGINT if self._number == signal.SIGINT else EXIT_SIGTERM

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._number == signal.SIGINT and number == signal.SIGINT:
            os._exit(EXIT_SIGINT)  # the jobs are told by the system
        self._number = number
