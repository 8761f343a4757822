"""How many cores this process may use. Found without torch, for plans as for trainings."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """Cores of the process's affinity mask, and no more than its container's quota of time (cgroup v2), rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _quota())


def _quota() -> int:
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # no file, or "max"
        quota, period = _CPU_MAX.read_text(encoding="ascii").split()
        return max(1, math.ceil(int(quota) / int(period)))
    return sys.maxsize
