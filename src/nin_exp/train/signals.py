"""Stop at the next batch, with everything saved, when the system or the user asks for it."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

from nin_exp.errors import EXIT_PREEMPTED, EXIT_SIGINT, EXIT_SIGTERM


class Stopped(BaseException):
    """A run was asked to stop and has saved its state.

    A BaseException: no handler of ordinary errors may take it for a failed run.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"stopped, exit code {exit_code}")
        self.exit_code = exit_code


def hangup() -> list[signal.Signals]:
    """SIGHUP, where it means something: ``nohup`` has it ignored, and a run goes on when its terminal has gone."""
    number = getattr(signal, "SIGHUP", None)
    return [] if number is None or signal.getsignal(number) is signal.SIG_IGN else [number]


class StopRequest:
    """Remembers a signal; the handler does nothing else, since saving inside a handler can hang.

    SIGINT (a second one ends the process at once), SIGTERM, SIGHUP; inside a SLURM job also SIGUSR1 and SIGUSR2.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Take over the signals; may be called again when a library has taken them."""
        numbers = [signal.SIGINT, signal.SIGTERM, *hangup()]
        if "SLURM_JOB_ID" in os.environ:
            numbers += [signal.SIGUSR1, signal.SIGUSR2]
        for number in numbers:
            previous = signal.signal(number, self._remember)
            self._previous.setdefault(number, previous)

    def uninstall(self) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.signal_number == signal.SIGINT:
            os._exit(EXIT_SIGINT)
        self.signal_number = number

    @property
    def is_set(self) -> bool:
        """Whether a signal has come."""
        return self.signal_number is not None

    def is_agreed(self, step: int | None) -> bool:
        """Whether everyone who trains this job stops here: after an optimizer step, or (None) between epochs."""
        return self.is_set

    def check(self) -> None:
        """Raise Stopped when a signal has come; for phases that have nothing to save."""
        if self.is_set:
            raise Stopped(self.exit_code)

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, 75 inside a SLURM job (so that it is queued again), else 143."""
        if self.signal_number == signal.SIGINT:
            return EXIT_SIGINT
        return EXIT_PREEMPTED if "SLURM_JOB_ID" in os.environ else EXIT_SIGTERM
