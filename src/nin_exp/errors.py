"""The errors a user can cause, each with the exit code that scripts rely on.

Every message is one line: the key or file, the rule, the value, the remedy.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_JOBS_FAILED = 9
EXIT_PREEMPTED = 75
EXIT_SIGINT = 130
EXIT_SIGTERM = 143


class NinExpError(Exception):
    """An error that a user can cause and mend; the class decides the exit code."""

    exit_code = EXIT_BUG


class ConfigError(NinExpError):
    """Configuration or usage is wrong; nothing was started.

    Args:
        problems: all that was found, each a sentence; the message holds every one of them, once.
    """

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("; ".join(self.problems))


class DataError(NinExpError):
    """A data set is missing, unreadable or inconsistent."""

    exit_code = 3


class IntegrityError(NinExpError):
    """A checkpoint or download does not match its checksum or its model."""

    exit_code = 4


class RefusedError(NinExpError):
    """Refused for safety, such as a target outside the allow-list."""

    exit_code = 5


class StorageError(NinExpError):
    """An output cannot be written."""

    exit_code = 6


class DivergedError(NinExpError):
    """The loss became infinite or NaN."""

    exit_code = 7


class OutOfMemoryError(NinExpError):
    """The device or the host ran out of memory."""

    exit_code = 8


class JobsFailedError(NinExpError):
    """Some jobs of a plan failed; the others are done."""

    exit_code = EXIT_JOBS_FAILED


class GeometryError(ConfigError):
    """A layer does not fit the image size."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or the sorted choices when none is near.

    >>> nearest("hed", ["head", "backbone"])
    " Did you mean 'head'?"
    >>> nearest("zzz", ["b", "a"])
    ' Known: a, b.'
    """
    names = sorted(set(known))
    # A user may leave out or repeat the prefix of a dotted key: compare last parts as well.
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not matches:
        last = {candidate.rsplit(".", 1)[-1]: candidate for candidate in names}
        matches = [last[m] for m in difflib.get_close_matches(name.rsplit(".", 1)[-1], list(last), n=1, cutoff=0.75)]
    if matches:
        return f" Did you mean '{matches[0]}'?"
    if len(names) not in range(1, 41):
        return ""
    listed = f"{', '.join(names)}."
    return f" Known: {textwrap.shorten(listed, width=200, placeholder=' …')}"
