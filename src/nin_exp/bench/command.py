"""Run ``nin-exp`` and other Python programs as processes of their own, as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from nin_exp.errors import NinExpError


@dataclass(frozen=True)
class Ended:
    """A process that ended well: what it printed, how long it took, and the most memory it held."""

    output: str
    seconds: float
    peak_bytes: int


def run_python(*arguments: str, folder: Path) -> Ended:
    """Run this Python with arguments in a folder.

    Raises:
        NinExpError: the process failed; its last line of error is quoted.
    """
    started = time.perf_counter()
    with (folder / "out.txt").open("w+b") as out, (folder / "err.txt").open("w+b") as err:
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            lines = err.read().decode(errors="replace").strip().splitlines()
            raise NinExpError(f"a measured command failed with exit code {process.returncode}: {(lines or ['?'])[-1]}")
        unit = 1 if sys.platform == "darwin" else 1024
        return Ended(out.read().decode(), seconds, usage.ru_maxrss * unit)


def run_nin_exp(*arguments: str, folder: Path) -> Ended:
    """Run ``nin-exp`` with arguments in a folder."""
    return run_python("-m", "nin_exp", *arguments, folder=folder)
