"""Threads over the parts of an array: images of a batch, or units of a layer.

NumPy's loops and its matrix product release the interpreter lock, so plain Python threads share the work.
The work is cut into parts whose number follows from the sizes alone, and partial sums are added in the order
of the parts: a result does not depend on how many threads computed it.

Inside a part the BLAS library works with one thread. Its own threads would otherwise meet ours (two threads
that each call a two-threaded product are slower than two that call a one-threaded product), would leave
copies and elementwise loops on one core, and would spin for some milliseconds after each product on the core
that the next loop needs. So every product of this package runs inside a part.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from nin_exp.reference.layout import Array

T = TypeVar("T")

MAX_SUMS = 8  # parts that each hold a partial sum
COST_OF_A_PART = 1 << 19  # element operations; below, handing a part to a thread costs more than it saves

_of_this_thread = threading.local()
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def available_cores() -> int:
    """Number of cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


_num_threads = available_cores()


def set_num_threads(num_threads: int) -> None:
    """Use this many threads from now on (at most 8 help a convolution); results stay the same.

    Raises:
        ValueError: fewer than one.
    """
    global _num_threads
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1, got {num_threads}")
    with _lock:
        _num_threads = num_threads
        _forget_pool()


def get_num_threads() -> int:
    """Number of threads in use."""
    return _num_threads


def in_parts(task: Callable[[slice], T], count: int, cost_of_one: int, max_parts: int | None = None) -> list[T]:
    """Call ``task`` with consecutive slices that cover ``count`` items, in threads; return its results in order.

    Args:
        task: works on the items of one slice and writes nothing outside it.
        count: images in the batch, or units.
        cost_of_one: element operations an item takes (values copied, or read and written).
        max_parts: at most this many slices, where each has a sum of its own; None for small slices, whose
            temporary arrays stay in a core's cache.
    """
    limit = count if max_parts is None else min(count, max_parts)
    parts = max(1, min(limit, count * cost_of_one // COST_OF_A_PART))
    if max_parts is not None:
        parts = 1 << (parts.bit_length() - 1)  # large parts, which 2, 4 or 8 threads can share evenly
    bounds = [count * i // parts for i in range(parts + 1)]
    slices = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
    with _one_blas_thread():
        if parts == 1 or _num_threads == 1:
            return [task(part) for part in slices]
        return _in_threads(task, slices)


def scratch(name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An uninitialised array of this thread, good until the thread asks for the name again.

    A megabyte that is allocated, touched and freed for each piece of work costs more than the work: the system
    maps, clears and unmaps it page by page, and lets threads wait for each other meanwhile.
    """
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = _of_this_thread.__dict__.get(name)
    if buffer is None or buffer.size < num_bytes:
        buffer = _of_this_thread.__dict__[name] = np.empty(num_bytes, np.uint8)
    view: Array = buffer[:num_bytes].view(dtype).reshape(shape)
    return view


def _in_threads(task: Callable[[slice], T], slices: list[slice]) -> list[T]:
    results: dict[int, T] = {}
    queue = iter(enumerate(slices))  # next() on it is atomic, so a thread that is held up takes fewer parts

    def work() -> None:
        for index, part in queue:
            results[index] = task(part)

    pool = _get_pool()
    others = [pool.submit(work) for _ in range(min(_num_threads, len(slices)) - 1)]
    try:
        work()
    finally:
        errors = [other.exception() for other in others]
    for error in errors:
        if error is not None:
            raise error
    return [results[i] for i in range(len(slices))]


def _get_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, _num_threads - 1), thread_name_prefix="reference")
        return _pool


def _forget_pool() -> None:
    global _pool
    if _pool is not None:
        _pool.shutdown(wait=False)
    _pool = None


def _after_fork() -> None:
    # The threads of a parent do not exist in its forked child, and its lock may have been held.
    global _pool, _lock
    _lock = threading.Lock()
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _openblas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """The getter and setter for the threads of the OpenBLAS inside NumPy's wheel; None for another BLAS."""
    package = Path(np.__file__).parent
    folders = [package.parent / "numpy.libs", package / ".dylibs"]
    for file in sorted(f for folder in folders if folder.is_dir() for f in folder.glob("*openblas*")):
        try:
            library = ctypes.CDLL(str(file))  # already loaded by NumPy: this is the same copy
        except OSError:
            continue
        for prefix in ("scipy_openblas", "openblas"):
            for suffix in ("64_", ""):
                getter = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
                setter = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                if getter is not None and setter is not None:
                    setter.argtypes, setter.restype = [ctypes.c_int], None
                    return getter, setter
    return None


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    library = _openblas()
    before = library[0]() if library is not None else 1
    if library is None or before == 1:
        yield
        return
    library[1](1)
    try:
        yield
    finally:
        library[1](before)
