"""What the data folder keeps beside the data sets: decoded images and whitenings, which any run can make anew.

Nothing of it is thrown away by itself: whether a source will be trained on again only its user knows.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from nin_exp.data.decoded_store import ABOUT_FILE, CACHE_FOLDER
from nin_exp.data.download import lock_path
from nin_exp.data.formats.npz import read_shapes
from nin_exp.errors import DataError, StorageError

_SUFFIXES = {"decoded": "", "whitening": ".npz"}


@dataclass(frozen=True)
class Kept:
    """One entry.

    Args:
        kind: ``decoded`` class folders, or a ``whitening``.
        num_bytes: on the disk; a whitening that runs hold too, as a link, is counted.
        written_at: seconds since 1970 of the last change.
        about: what it was made from.
    """

    path: Path
    kind: Literal["decoded", "whitening"]
    num_bytes: int
    written_at: float
    about: str


def kept(data_dir: Path) -> list[Kept]:
    """All entries, the largest first."""
    found: list[Kept] = []
    for path in (data_dir / CACHE_FOLDER).glob("[!.]*"):
        try:
            if path.name.startswith("decoded-") and path.is_dir():
                found.append(_entry(path, "decoded", [p for p in path.iterdir() if p.is_file()], _folder(path)))
            elif path.name.startswith("whitening-") and path.suffix == ".npz":
                found.append(_entry(path, "whitening", [path], _values(path)))
        except OSError:  # taken away by another process
            continue
    return sorted(found, key=lambda entry: (-entry.num_bytes, entry.path.name))


def clear(data_dir: Path) -> tuple[list[Kept], list[Kept]]:
    """Remove all entries but those that a process is making or reading now; returns (removed, left).

    Raises:
        StorageError: an entry cannot be removed.
    """
    removed: list[Kept] = []
    left: list[Kept] = []
    for entry in kept(data_dir):
        name = entry.path.name.removesuffix(_SUFFIXES[entry.kind])
        try:
            # The lock stays: a process that waits for it would hold the lock of a file that is no longer there.
            with FileLock(lock_path(entry.path.parent, name), timeout=0):
                _remove(entry.path)
                removed.append(entry)
        except Timeout:
            left.append(entry)
        except OSError as error:
            raise StorageError(f"{entry.path} cannot be removed: {error.strerror or error}") from error
    return removed, left


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _entry(path: Path, kind: Literal["decoded", "whitening"], files: list[Path], about: str) -> Kept:
    status = [file.stat() for file in files]
    written_at = max((s.st_mtime for s in status), default=0.0)
    return Kept(path, kind, sum(s.st_size for s in status), written_at, about)


def _folder(path: Path) -> str:
    try:
        return (path / ABOUT_FILE).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "unknown"


def _values(path: Path) -> str:
    try:
        return f"{read_shapes(path)['mean'][0]} values an image"
    except (DataError, KeyError, IndexError):
        return "damaged"
