"""The idx files of MNIST and its relatives, plain or gzipped (Y. LeCun, http://yann.lecun.com/exdb/mnist)."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from nin_exp.errors import DataError

_UINT8 = 8  # the only type code that these data sets use


def read_idx(path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    """Read an idx file of unsigned bytes with ``ndim`` dimensions (3 for images, 1 for labels).

    Raises:
        DataError: the header is not that of such a file, or the length does not agree with it.
    """
    try:
        with _open(path) as file:
            shape = _read_header(file, path, ndim)
            size = math.prod(shape)
            # A damaged header may promise 2**96 bytes; the file itself bounds what is read.
            content = file.read(min(size, 2**40) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}; fetch it again") from error
    if len(content) != size:
        kind = "more" if len(content) > size else f"only {len(content)}"
        raise DataError(f"{path} must hold {size} bytes as its header says, got {kind}; fetch it again")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def read_idx_shape(path: Path, ndim: int) -> tuple[int, ...]:
    """The shape alone, from the header.

    Raises:
        DataError: the header is not that of an idx file.
    """
    try:
        with _open(path) as file:
            return _read_header(file, path, ndim)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}; fetch it again") from error


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _read_header(file: IO[bytes], path: Path, ndim: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * ndim)
    if len(header) != 4 + 4 * ndim or header[:4] != bytes((0, 0, _UINT8, ndim)):
        raise DataError(
            f"{path} must be an idx file of bytes with {ndim} dimension(s), "
            f"got a header {header[:4].hex() or 'of 0 bytes'}; fetch it again"
        )
    return tuple(int(n) for n in np.frombuffer(header, dtype=">u4", offset=4))
