"""Decoded class folders in the data folder: what one run has decoded no later run decodes again.

``images.bin`` holds the images one after the other, ``chunks.jsonl`` a line for each chunk of them: what its files
were (names, sizes, times) and the checksum of its bytes. A chunk is decoded again when its files have changed or its
bytes are not what they were. A process that is killed loses the chunk it was at. ``about.txt`` says to people whose
images these are. ``nin-exp data cache`` lists and clears the stores.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
ABOUT_FILE = "about.txt"
_CHUNK_BYTES = 8 << 20
_VERSION = 1  # of the decoder: another one must not read what this one has decoded

Image = npt.NDArray[np.uint8]
DecodeFiles = Callable[[Sequence[Path]], Iterable[Image | str]]
"""Files to images of one shape, or the reasons why they cannot be read; in order."""


@dataclass(frozen=True)
class StoredImages:
    """Decoded files in the order they were given.

    Args:
        images: uint8 ``(N, S, S, C)``, mapped from the store, read only; zeros for a file that cannot be read.
        reasons: why those cannot be read, by position.
        num_decoded: how many were decoded now, and not read.
    """

    images: npt.NDArray[np.uint8]
    reasons: dict[int, str]
    num_decoded: int


@contextmanager
def stored_images(
    paths: Sequence[Path],
    root: Path,
    *,
    channels: Literal[1, 3],
    image_size: int,
    data_dir: Path,
    decode: DecodeFiles,
) -> Iterator[StoredImages]:
    """Images from the store, decoding what it lacks; without a writable data folder everything is decoded.

    The images are the store's own bytes: copy what is needed of them inside the ``with``, under the store's lock. A
    later run writes into the same file where the class folders have changed.
    """
    store = _Store(paths, root, channels, image_size, data_dir)
    with ExitStack() as stack:
        try:
            stack.enter_context(only_one(store.folder.parent, store.folder.name))
            stored = store.load(decode)
        except StorageError as error:
            stack.close()
            _log.warning("decoded images are not kept: %s", error)
            stored = store.load_unkept(decode)
        yield stored


class _Store:
    """One store; to be used under its lock."""

    def __init__(
        self, paths: Sequence[Path], root: Path, channels: Literal[1, 3], image_size: int, data_dir: Path
    ) -> None:
        key = hashlib.sha256(f"{_VERSION} {root.resolve()} {image_size} {channels}".encode("utf-8", "surrogateescape"))
        self.folder = data_dir / CACHE_FOLDER / f"decoded-{key.hexdigest()[:24]}"
        self._paths, self._root = paths, root
        self._shape = (image_size, image_size, channels)
        self._image_bytes = image_size * image_size * channels
        self._chunk = max(1, _CHUNK_BYTES // self._image_bytes)
        self._reasons: dict[int, str] = {}
        self._num_decoded = 0

    def load_unkept(self, decode: DecodeFiles) -> StoredImages:
        """Decode everything, into memory."""
        self._reasons, self._num_decoded = {}, 0
        chunks = [self._decode(start, decode) for start in range(0, len(self._paths), self._chunk)]
        return StoredImages(np.concatenate(chunks), self._reasons, self._num_decoded)

    def load(self, decode: DecodeFiles) -> StoredImages:
        """Bring the file up to date, and map it.

        Raises:
            StorageError: the folder cannot be written.
        """
        known = self._journal()
        path = self.folder / "images.bin"
        shape = (len(self._paths), *self._shape)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / ABOUT_FILE).exists():
                size = "x".join(map(str, self._shape))
                write_text(self.folder / ABOUT_FILE, f"{self._root.resolve()} at {size}\n")
            with path.open("r+b" if path.exists() else "w+b") as file, self._journal_path.open("ab") as journal:
                for start in range(0, len(self._paths), self._chunk):
                    self._chunk_at(start, known, file, journal, decode)
                file.truncate(len(self._paths) * self._image_bytes)
            if self._num_decoded:
                write_text(self._journal_path, "".join(json.dumps(line) + "\n" for line in known.values()))
            images = np.memmap(path, dtype=np.uint8, mode="r", shape=shape)
        except OSError as error:
            raise StorageError(f"{self.folder} cannot be written: {error.strerror or error}") from error
        return StoredImages(images, self._reasons, self._num_decoded)

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
        files = self._stamps(start)
        num_bytes = len(self._paths[start : start + self._chunk]) * self._image_bytes
        entry = known.get(start)
        if entry is not None and entry["files"] == files:
            file.seek(start * self._image_bytes)
            content = file.read(num_bytes)
            if len(content) == num_bytes and hashlib.sha256(content).hexdigest() == entry["sha256"]:
                self._reasons |= {int(row): reason for row, reason in entry["reasons"].items()}
                return
        content = self._decode(start, decode).tobytes()
        reasons = {str(row): reason for row, reason in self._reasons.items() if row >= start}
        sha256 = hashlib.sha256(content).hexdigest()
        known[start] = {"start": start, "files": files, "sha256": sha256, "reasons": reasons}
        file.seek(start * self._image_bytes)
        file.write(content)
        file.flush()
        # A line of its own even after one that was cut off.
        journal.write(b"\n" + json.dumps(known[start]).encode() + b"\n")
        journal.flush()

    def _decode(self, start: int, decode: DecodeFiles) -> Image:
        paths = self._paths[start : start + self._chunk]
        if not self._num_decoded:
            _log.info("decoding the images of %s", self._root)
        images = np.zeros((len(paths), *self._shape), dtype=np.uint8)
        for row, result in enumerate(decode(paths)):
            if isinstance(result, str):
                self._reasons[start + row] = result
            else:
                images[row] = result
        self._num_decoded += len(paths)
        return images

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
