"""What a data set was: a fingerprint of its content, and stamps of its files. NumPy and the standard library only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nin_exp.contracts.data import LoadedData


def fingerprint(loaded: LoadedData) -> str:
    """SHA-256 (hexadecimal) over shapes, images, labels, boxes and class names of both splits.

    The files a data set was read from do not count: an ``.npz`` and torchvision's layout of the same images agree.
    """
    digest = hashlib.sha256(b"images 1\0")
    for split in (loaded.train, loaded.test):
        for array, kind in ((split.images, "u1"), (split.labels, "<i8"), (split.boxes, "<i8")):
            if array is None:
                digest.update(b"none\0")
                continue
            digest.update(f"{'x'.join(map(str, array.shape))}\0".encode())
            digest.update(np.ascontiguousarray(array, dtype=kind).data)
    for name in loaded.class_names:
        digest.update(f"{len(name)}:{name}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def stamp(path: Path) -> dict[str, Any]:
    """``path size mtime_ns sha256`` of a file, or of a folder with all that is below it.

    A folder's size is the sum of its files', its time the latest of files and folders (adding, removing and renaming
    change the folder's), its hash goes over relative names and contents.
    """
    size, mtime_ns = _size_and_time(path)
    return {"path": str(path.absolute()), "size": size, "mtime_ns": mtime_ns, "sha256": _sha256(path)}


def changed(stamps: Iterable[Mapping[str, Any]]) -> list[Path]:
    """The stamped files and folders whose content is no longer what it was.

    Equal size and time count as unchanged without reading; else the content decides. What is gone, or cannot be
    read, has not changed: data may be moved away once the runs are done.
    """
    different = []
    for old in stamps:
        path = Path(old["path"])
        try:
            if _size_and_time(path) != (old["size"], old["mtime_ns"]) and _sha256(path) != old["sha256"]:
                different.append(path)
        except OSError:
            continue
    return different


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    if not path.is_dir():
        return status.st_size, status.st_mtime_ns
    size, latest = 0, status.st_mtime_ns
    for below in _below(path):
        # Of the files that links lead to; of the links themselves where they lead nowhere.
        status = below.stat(follow_symlinks=below.is_file() or not below.is_symlink())
        latest = max(latest, status.st_mtime_ns)
        size += status.st_size if below.is_file() else 0
    return size, latest


def _below(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Every file and folder below, sorted within each folder; links to folders are not entered."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path))


def _sha256(path: Path) -> str:
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for below in _below(path):
        if below.is_file():
            name = Path(below.path).relative_to(path).as_posix().encode("utf-8", "surrogateescape")
            digest.update(len(name).to_bytes(4, "big") + name + bytes.fromhex(_sha256(Path(below.path))))
    return digest.hexdigest()
