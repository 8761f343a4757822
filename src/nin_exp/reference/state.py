"""State dictionaries in files: safetensors and npz, written whole or not at all. Never pickle.

A safetensors file is 8 bytes with the length of the header (unsigned, little-endian), the header (JSON: for
each tensor its dtype, shape and the two offsets of its bytes), and the bytes of all tensors without gaps.
Source: the format's description in the README of huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from nin_exp.reference.layout import Array
from nin_exp.reference.module import StateDict

MAX_HEADER_BYTES = 100_000_000  # the limit of the format's own reader
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}


def save_state(path: str | Path, state: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write a state to ``*.safetensors`` or ``*.npz``; readers see the old file or the new one, never a part.

    Args:
        path: the suffix decides the format.
        state: arrays by name.
        metadata: words to keep beside them; safetensors only.

    Raises:
        ValueError: another suffix, a name or dtype the format cannot hold, or metadata for npz.
        OSError: the file cannot be written.
    """
    target = Path(path)
    arrays = {name: np.asarray(array) for name, array in state.items()}
    if target.suffix == ".safetensors":
        header, ordered = _header(arrays, dict(metadata or {}))
        _write_whole(target, lambda file: _write_safetensors(file, header, ordered))
    elif target.suffix == ".npz":
        if metadata:
            raise ValueError("metadata must go to a .safetensors file; an .npz holds arrays alone")
        for name, array in arrays.items():
            _dtype_name(name, array)
        # a name like "file" is a parameter of np.savez, so the archive is written member by member
        _write_whole(target, lambda file: _write_npz(file, arrays))
    else:
        raise ValueError(f"a state's file must end in .safetensors or .npz, got '{target.name}'")


def load_state(path: str | Path) -> StateDict:
    """Read a state written by ``save_state``, torch's or another program's safetensors, or ``np.savez``.

    bfloat16, which NumPy lacks, comes as float32 (exactly).

    Raises:
        ValueError: another suffix, or a file that is damaged or holds objects.
        OSError: the file cannot be read.
    """
    source = Path(path)
    if source.suffix == ".safetensors":
        return _read_safetensors(source)[0]
    if source.suffix != ".npz":
        raise ValueError(f"a state's file must end in .safetensors or .npz, got '{source.name}'")
    try:
        # opened here, since np.load leaves the file open when it is no archive
        with source.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, EOFError, KeyError, TypeError) as error:
        raise ValueError(f"'{source}' must be a whole .npz of plain arrays: {error}") from error


def load_metadata(path: str | Path) -> dict[str, str]:
    """Read the words kept in a safetensors file.

    Raises:
        ValueError: the file is damaged.
    """
    return _read_safetensors(Path(path))[1]


def _write_whole(target: Path, write: Callable[[IO[bytes]], None]) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)  # mkstemp gives 0600
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _write_npz(file: IO[bytes], arrays: StateDict) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _dtype_name(name: str, array: Array) -> str:
    dtype = array.dtype.newbyteorder("<") if array.dtype.byteorder == ">" else array.dtype
    if dtype not in _NAMES:
        raise ValueError(f"'{name}' must have one of the dtypes {', '.join(_DTYPES)}, got {array.dtype}")
    return _NAMES[dtype]


def _header(arrays: StateDict, metadata: dict[str, str]) -> tuple[bytes, list[Array]]:
    if "__metadata__" in arrays:
        raise ValueError("'__metadata__' must not name an array: the format keeps its metadata there")
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    # wide dtypes first, as the format's own writer: every array then starts at a multiple of its item size
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    offset = 0
    for name in names:
        array = arrays[name]
        header[name] = {
            "dtype": _dtype_name(name, array),
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return encoded + b" " * (-len(encoded) % 8), [arrays[name] for name in names]


def _write_safetensors(file: IO[bytes], header: bytes, arrays: list[Array]) -> None:
    file.write(struct.pack("<Q", len(header)))
    file.write(header)
    for array in arrays:
        file.write(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())


def _read_safetensors(path: Path) -> tuple[StateDict, dict[str, str]]:
    raw = path.read_bytes()
    try:
        header, start = _parse_header(raw)
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise ValueError("metadata must be words by name")
        state, end = {}, 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            first, last = entry["data_offsets"]
            if first != end:
                raise ValueError(f"'{name}' must start at byte {end} of the data, got {first}")
            state[name] = _tensor(name, entry, memoryview(raw)[start + first : start + last], last - first)
            end = last
        if start + end != len(raw):
            raise ValueError(f"the data must be {end} bytes, got {len(raw) - start}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"'{path}' must be a whole safetensors file: {error}") from error
    return state, metadata


def _parse_header(raw: bytes) -> tuple[dict[str, Any], int]:
    if len(raw) < 8:
        raise ValueError(f"at least 8 bytes, got {len(raw)}")
    (length,) = struct.unpack("<Q", raw[:8])
    if length > min(MAX_HEADER_BYTES, len(raw) - 8):
        raise ValueError(f"a header of {length} bytes in a file of {len(raw)}")
    header = json.loads(raw[8 : 8 + length].decode(), object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise ValueError("the header must be an object")
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("names must differ")
    return result


def _tensor(name: str, entry: dict[str, Any], data: memoryview, length: int) -> Array:
    shape, kind = entry["shape"], entry["dtype"]
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError(f"'{name}' must have sizes of at least 0, got {shape}")
    dtype = np.dtype("<u2") if kind == "BF16" else np.dtype(_DTYPES[kind])
    if length != math.prod(shape) * dtype.itemsize or len(data) != length:
        raise ValueError(f"'{name}' must have {math.prod(shape) * dtype.itemsize} bytes, got {len(data)}")
    array = np.frombuffer(data, dtype).reshape(shape)
    if kind == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.copy()
