"""The project's own file of a data set: an ``.npz`` with uint8 images, labels and class names.

Keys: ``x_train y_train x_test y_test class_names``, images ``N x H x W [x C]``; ``boxes_train boxes_test`` where
there are boxes. Nothing in such a file is ever unpickled.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from nin_exp.contracts.data import ImageArrays, LoadedData
from nin_exp.data.validate import RawSplit
from nin_exp.errors import DataError
from nin_exp.records.files import atomic_write

_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_BROKEN = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def read_npz(path: Path) -> tuple[RawSplit, RawSplit | None, tuple[str, ...] | None]:
    """Read training split, test split (None when the file has none) and class names (None without).

    Raises:
        DataError: the file is no .npz, is damaged, or lacks a key.
    """
    keys = read_shapes(path)
    for needed in ("x_train", "y_train"):
        if needed not in keys:
            raise DataError(
                f"{path}: key {needed} is missing, got {', '.join(sorted(keys)[:8]) or 'no array'}; rename it"
            )
    if ("x_test" in keys) != ("y_test" in keys):
        lacking = "y_test" if "x_test" in keys else "x_test"
        raise DataError(f"{path}: key {lacking} is missing; give both x_test and y_test, or neither")
    try:
        with np.load(path, allow_pickle=False) as file:
            train = _read_split(file, path, "train")
            test = _read_split(file, path, "test") if "x_test" in keys else None
            names = _read_names(file["class_names"], path) if "class_names" in keys else None
    except (*_BROKEN, MemoryError) as error:
        raise DataError(f"{path} must be an undamaged .npz without pickled objects: {_first_line(error)}") from error
    return train, test, names


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array in the file, from its header alone.

    Raises:
        DataError: the file is no .npz, is damaged, or holds pickled objects.
    """
    shapes = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    continue
                with archive.open(info) as file:
                    shapes[info.filename[:-4]] = _read_header(file, info)
    except FileNotFoundError as error:
        raise DataError(
            f"dataset.source must be an existing file or folder, got '{path}'; give the path of an .npz"
        ) from error
    except _BROKEN as error:
        raise DataError(f"{path} must be an .npz file: {_first_line(error)}; write it with numpy.savez") from error
    return shapes


def _read_header(file: IO[bytes], info: zipfile.ZipInfo) -> tuple[int, ...]:
    version = npy.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"{info.filename} has array format {version}")
    shape, _, dtype = _READERS[version](file)
    if dtype.hasobject:
        raise ValueError(f"{info.filename} holds Python objects")
    # A header may promise terabytes; NumPy would reserve them before it reads.
    if math.prod(shape) * dtype.itemsize != info.file_size - file.tell():
        raise ValueError(f"{info.filename} does not hold the {'x'.join(map(str, shape))} values its header promises")
    return tuple(int(n) for n in shape)


def _read_split(file: Any, path: Path, split: str) -> RawSplit:
    boxes = file[f"boxes_{split}"] if f"boxes_{split}" in file.files else None
    return RawSplit(file[f"x_{split}"], file[f"y_{split}"], f"{path}: x_{split}", f"{path}: y_{split}", boxes)


def _read_names(names: npt.NDArray[Any], path: Path) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DataError(f"{path}: class_names must be a list of strings, got {names.dtype} of {names.ndim} dimensions")
    return tuple(name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names.tolist())


def write_npz(loaded: LoadedData, path: Path) -> None:
    """Write a data set as one uncompressed ``.npz``; equal data give equal bytes.

    Raises:
        StorageError: the file cannot be written; none is left behind.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for split, data in (("train", loaded.train), ("test", loaded.test)):
        arrays |= _split_arrays(split, data, len(loaded.class_names))
    arrays["class_names"] = np.array(loaded.class_names, dtype=np.str_)
    with atomic_write(path) as file:
        # Not allow_pickle=False: NumPy 1 would store it as one more array. There are no objects among ours.
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _split_arrays(split: str, data: ImageArrays, num_classes: int) -> dict[str, npt.NDArray[Any]]:
    images: npt.NDArray[Any] = data.images[..., 0] if data.images.shape[3] == 1 else data.images
    labels = data.labels.astype(np.uint8 if num_classes <= 256 else np.int64)
    arrays: dict[str, npt.NDArray[Any]] = {f"x_{split}": images, f"y_{split}": labels}
    if data.boxes is not None:
        arrays[f"boxes_{split}"] = data.boxes
    return arrays


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
