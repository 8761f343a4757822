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
    """Tell glibc to keep freed memory for the next array, from now on and for the whole process, in huge pages.

    The process keeps its peak until it ends.

    Returns:
        Whether that was possible: on Linux with glibc.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # M_* of malloc.h
    kept = all((libc.mallopt(mmap_max, 0), libc.mallopt(trim_threshold, 2**31 - 1), libc.mallopt(top_pad, 256 * 2**20)))
    if kept:
        _ask_for_huge_pages(libc)
    return kept


_RESERVED = 3 * 2**29  # with the pad of the heap below the trim threshold, above which it would be given back
_HUGE_PAGE = 2 * 2**20
_MADV_HUGEPAGE = 14


def _ask_for_huge_pages(libc: ctypes.CDLL) -> None:
    """Grow the heap by addresses, not by memory, and let the system back what of them is used with pages of 2 MB.

    Arrays of 100 MB are 25,000 small pages, more than a core remembers the places of. Systems that leave the choice to
    programs (``madvise``, Debian's default) must be asked; where it is refused, all is as before.
    """
    libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
    libc.sbrk.argtypes, libc.malloc.argtypes, libc.free.argtypes = (
        [ctypes.c_ssize_t],
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    before = libc.sbrk(0)
    libc.free(libc.malloc(_RESERVED))  # untouched; the heap keeps its addresses
    start, end = -(-before // _HUGE_PAGE) * _HUGE_PAGE, libc.sbrk(0) // _HUGE_PAGE * _HUGE_PAGE
    if end > start:
        libc.madvise(start, end - start, _MADV_HUGEPAGE)
