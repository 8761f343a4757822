"""Decoded class folders in the data folder: what one run has decoded no later run decodes again.

``images.bin`` holds the images one after the other, ``chunks.jsonl`` a line for each chunk of them: what its files
were (names, sizes, times) and the checksum of its bytes. A chunk is decoded again when its files have changed or its
bytes are not what they were. A process that is killed loses the chunk it was at.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from nin_exp.data.download import only_one
from nin_exp.errors import StorageError
from nin_exp.records.files import write_text

_log = logging.getLogger(__name__)
CACHE_FOLDER = ".cache"
_CHUNK_BYTES = 8 << 20
_VERSION = 1  # of the decoder: another one must not read what this one has decoded

Image = npt.NDArray[np.uint8]
DecodeFiles = Callable[[Sequence[Path]], Iterable[Image | str]]
"""Files to images of one shape, or the reasons why they cannot be read; in order."""


@dataclass(frozen=True)
class StoredImages:
    """Decoded files in the order they were given.

    Args:
        images: uint8 ``(N, S, S, C)``; zeros for a file that cannot be read.
        reasons: why those cannot be read, by position.
        num_decoded: how many were decoded now, and not read.
    """

    images: npt.NDArray[np.uint8]
    reasons: dict[int, str]
    num_decoded: int


def stored_images(
    paths: Sequence[Path],
    root: Path,
    *,
    channels: Literal[1, 3],
    image_size: int,
    data_dir: Path,
    decode: DecodeFiles,
) -> StoredImages:
    """Images from the store, decoding what it lacks; without a writable data folder everything is decoded."""
    store = _Store(paths, root, channels, image_size, data_dir)
    try:
        with only_one(store.folder.parent, store.folder.name):
            return store.load(decode)
    except StorageError as error:
        _log.warning("decoded images are not kept: %s", error)
        return _Store(paths, root, channels, image_size, None).load(decode)


class _Store:
    """One store; to be used under its lock."""

    def __init__(
        self, paths: Sequence[Path], root: Path, channels: Literal[1, 3], image_size: int, data_dir: Path | None
    ) -> None:
        key = hashlib.sha256(f"{_VERSION} {root.resolve()} {image_size} {channels}".encode("utf-8", "surrogateescape"))
        self.is_kept = data_dir is not None
        self.folder = (data_dir or Path()) / CACHE_FOLDER / f"decoded-{key.hexdigest()[:24]}"
        self._paths, self._root = paths, root
        self._images = np.zeros((len(paths), image_size, image_size, channels), dtype=np.uint8)
        self._reasons: dict[int, str] = {}
        self._chunk = max(1, _CHUNK_BYTES // (image_size * image_size * channels))
        self._num_decoded = 0

    def load(self, decode: DecodeFiles) -> StoredImages:
        if not self.is_kept:
            for start in range(0, len(self._paths), self._chunk):
                self._decode(start, decode)
            return StoredImages(self._images, self._reasons, self._num_decoded)
        known = self._journal()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / "images.bin"
            with path.open("r+b" if path.exists() else "w+b") as file, self._journal_path.open("ab") as journal:
                for start in range(0, len(self._paths), self._chunk):
                    self._chunk_at(start, known, file, journal, decode)
                file.truncate(self._images.nbytes)
            if self._num_decoded:
                write_text(self._journal_path, "".join(json.dumps(line) + "\n" for line in known.values()))
        except OSError as error:
            raise StorageError(f"{self.folder} cannot be written: {error.strerror or error}") from error
        return StoredImages(self._images, self._reasons, self._num_decoded)

    @property
    def _journal_path(self) -> Path:
        return self.folder / "chunks.jsonl"

    def _journal(self) -> dict[int, dict[str, Any]]:
        """The last line of each chunk; lines that were cut off, or are something else, do not count."""
        try:
            lines = self._journal_path.read_bytes().splitlines()
        except OSError:
            return {}
        known: dict[int, dict[str, Any]] = {}
        for line in lines:
            try:
                entry = json.loads(line)
                known[int(entry["start"])] = {
                    "start": int(entry["start"]),
                    "files": str(entry["files"]),
                    "sha256": str(entry["sha256"]),
                    "reasons": {str(int(row)): str(reason) for row, reason in entry["reasons"].items()},
                }
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        return known

    def _chunk_at(
        self, start: int, known: dict[int, dict[str, Any]], file: IO[bytes], journal: IO[bytes], decode: DecodeFiles
    ) -> None:
        rows = self._images[start : start + self._chunk]
        files = self._stamps(start)
        offset = start * rows[0].nbytes
        entry = known.get(start)
        if entry is not None and entry["files"] == files:
            file.seek(offset)
            view = rows.data.cast("B")
            if file.readinto(view) == rows.nbytes and hashlib.sha256(view).hexdigest() == entry["sha256"]:  # type: ignore[attr-defined]
                self._reasons |= {int(row): reason for row, reason in entry["reasons"].items()}
                return
        self._decode(start, decode)
        view = rows.data.cast("B")
        reasons = {str(row): reason for row, reason in self._reasons.items() if row >= start}
        known[start] = {"start": start, "files": files, "sha256": hashlib.sha256(view).hexdigest(), "reasons": reasons}
        file.seek(offset)
        file.write(view)
        file.flush()
        # A line of its own even after one that was cut off.
        journal.write(b"\n" + json.dumps(known[start]).encode() + b"\n")
        journal.flush()

    def _decode(self, start: int, decode: DecodeFiles) -> None:
        paths = self._paths[start : start + self._chunk]
        if not self._num_decoded:
            _log.info("decoding the images of %s", self._root)
        for row, result in enumerate(decode(paths), start=start):
            self._images[row] = 0
            if isinstance(result, str):
                self._reasons[row] = result
            else:
                self._images[row] = result
        self._num_decoded += len(paths)

    def _stamps(self, start: int) -> str:
        """A hash over names, sizes and times of a chunk's files."""
        digest = hashlib.sha256()
        for path in self._paths[start : start + self._chunk]:
            try:
                status = path.stat()
                size, time = status.st_size, status.st_mtime_ns
            except OSError:  # a link to nowhere, which decoding names
                size, time = -1, -1
            name = str(path.relative_to(self._root))
            digest.update(f"{len(name)}:{name} {size} {time}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
