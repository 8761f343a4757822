"""The Python batches of CIFAR-10 and CIFAR-100 (A. Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html).

They are pickles, and a pickle can run any code. This reader builds arrays, lists, dictionaries, strings and numbers,
and refuses everything else before it is called.
"""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.errors import DataError, RefusedError

SIDE = 32
# NumPy's function that makes an empty array for a pickle to fill; its module moved in NumPy 2.
_reconstruct = np.empty(0).__reduce__()[0]


def read_batch(path: Path, labels_key: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]:
    """Images ``(N, 32, 32, 3)`` and labels ``(N,)`` of one batch file.

    Raises:
        DataError: the file is damaged or lacks a key.
        RefusedError: the pickle names something other than plain arrays.
    """
    batch = _read_dictionary(path, ("data", labels_key))
    data = batch["data"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3 * SIDE * SIDE,):
        shape = (
            "x".join(map(str, data.shape)) + f" {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__
        )
        raise DataError(f"{path}: data must be uint8 N x {3 * SIDE * SIDE}, got {shape}; fetch it again")
    images = data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    try:
        labels = np.asarray(batch[labels_key])
    except ValueError as error:  # a ragged list
        raise DataError(f"{path}: {labels_key} must be a list of class numbers; fetch it again") from error
    return np.ascontiguousarray(images), labels


def read_names(path: Path, key: str) -> tuple[str, ...]:
    """Class names from ``batches.meta`` or ``meta``.

    Raises:
        DataError: the file is damaged or lacks the key.
        RefusedError: as ``read_batch``.
    """
    names = _read_dictionary(path, (key,))[key]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: {key} must be a list of strings; fetch it again")
    return tuple(names)


def _read_dictionary(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            # Written by Python 2: its byte strings are read as text.
            content = _PlainUnpickler(file, path).load()
    except RefusedError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path} must be a CIFAR batch: {type(error).__name__}; fetch it again") from error
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            raise DataError(f"{path}: key {key} is missing; fetch it again")
    return dict(content)


def _encode_latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in an old pickle protocol; other codecs could decompress without bound."""
    if codecs.lookup(encoding).name != "iso8859-1":
        raise ValueError(f"codec {encoding}")
    return text.encode("latin-1")


class _PlainUnpickler(pickle.Unpickler):
    _ALLOWED: dict[tuple[str, str], Any] = {  # noqa: RUF012  (read only)
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encode_latin1,
    }

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise RefusedError(
                f"{self._path} must hold plain arrays, but names {module}.{name}, which could run code; "
                "fetch it again from its source"
            )
        return self._ALLOWED[module, name]
