"""The allocator's habits, which decide how long a training step takes on large images and batches.

A step takes and frees hundreds of MB of activations. By default the C library maps each large array anew and gives it
back at once, so the system clears and maps every page again, step after step; on a virtual machine that can cost
more than all arithmetic.
"""

from __future__ import annotations

import ctypes
import platform
import sys


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory for the next array, from now on and for the whole process.

    The process keeps its peak until it ends.

    Returns:
        Whether that was possible: on Linux with glibc.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # M_* of malloc.h
    return all((mallopt(mmap_max, 0), mallopt(trim_threshold, 2**31 - 1), mallopt(top_pad, 256 * 2**20)))
