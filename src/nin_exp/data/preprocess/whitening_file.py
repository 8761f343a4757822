"""A fitted whitening on disk: fitted once for all jobs that share data and split, and kept with each run.

The file is an ``.npz`` of ``mean`` and ``matrix``; what they were fitted on and with is in its name, a hash.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nin_exp.data.decoded_store import CACHE_FOLDER
from nin_exp.data.download import only_one
from nin_exp.data.preprocess.gcn import GlobalContrast
from nin_exp.data.preprocess.zca import Whitening, fit_whitening
from nin_exp.errors import StorageError
from nin_exp.records.files import atomic_write

_log = logging.getLogger(__name__)
_VERSION = 1  # of the arithmetic: another one must not read what this one has fitted
BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def cached_whitening(
    images: npt.NDArray[np.uint8], contrast: GlobalContrast, bias: float, data_dir: Path, data_key: str
) -> tuple[Whitening, Path | None]:
    """The whitening of some training images: read where another job has fitted it, else fitted and kept.

    Args:
        data_key: what the images are: the data set's fingerprint, the split, the size.

    Returns:
        The whitening, and its file; None where the data folder cannot be written.

    Raises:
        ConfigError: the images are too large.
    """
    settings = {**contrast.settings(), "bias": bias, "version": _VERSION, "shape": images.shape, "data": data_key}
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]
    path = data_dir / CACHE_FOLDER / f"whitening-{key}.npz"

    def fit() -> Whitening:
        _log.info("fitting the whitening on %d images", len(images))
        return fit_whitening(images, contrast, bias)

    try:
        with only_one(path.parent, path.stem):
            return _read_or_fit(path, contrast, bias, int(np.prod(images.shape[1:])), fit), path
    except StorageError as error:
        _log.warning("the whitening is not kept: %s", error)
        return fit(), None


def _read_or_fit(
    path: Path, contrast: GlobalContrast, bias: float, size: int, fit: Callable[[], Whitening]
) -> Whitening:
    try:
        return Whitening(contrast, bias, *read_whitening(path, size))
    except FileNotFoundError:
        pass
    except BROKEN as error:
        _log.warning("%s is damaged (%s) and is made anew", path, error)
    fitted = fit()
    write_whitening(path, fitted)
    return fitted


def read_whitening(path: Path, size: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean ``(size,)`` and matrix ``(size, size)``; the archive's checksums are held against its content.

    Raises:
        FileNotFoundError: there is no such file.
        OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error: it is damaged.
    """
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        mean, matrix = file["mean"], file["matrix"]
    if mean.dtype != np.float32 or matrix.dtype != np.float32 or mean.shape != (size,) or matrix.shape != (size, size):
        raise ValueError(f"mean and matrix must be float32 of {size} values, got {mean.shape} and {matrix.shape}")
    if not (np.isfinite(mean).all() and np.isfinite(matrix).all()):
        raise ValueError("mean and matrix must be finite")
    return mean, matrix


def write_whitening(path: Path, whitening: Whitening) -> None:
    """Write mean and matrix.

    Raises:
        StorageError: the file cannot be written; none is left behind.
    """
    with atomic_write(path) as file:
        np.savez(file, mean=whitening.mean, matrix=whitening.matrix)


def place_whitening(path: Path, whitening: Whitening, cached: Path | None) -> None:
    """Give ``path`` the whitening, as a link to the cached file where the file system has links.

    The matrix takes 38 MB for images of 32x32x3: the runs of a plan share it. Neither file is ever written in place.

    Raises:
        StorageError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if cached is None:
            raise FileNotFoundError
        temporary.unlink(missing_ok=True)
        os.link(cached, temporary)
        temporary.replace(path)
    except OSError:
        write_whitening(path, whitening)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
