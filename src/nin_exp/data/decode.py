"""Decode the files of class folders into arrays, with a policy for those that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import LoadedData
from nin_exp.cores import available_cores
from nin_exp.data.decoded_store import stored_images
from nin_exp.data.folders import FolderFiles, FolderScan
from nin_exp.data.images import UnreadableImageError, read_image
from nin_exp.data.validate import RawSplit, assemble
from nin_exp.errors import DataError

T = TypeVar("T")
_MOST_NAMED = 100
_MAX_THREADS = 8


@dataclass(frozen=True)
class Decoded:
    """Decoded files of one split; ``unreadable`` are (file, reason) of those left out."""

    images: npt.NDArray[np.uint8]
    kept: FolderFiles
    unreadable: tuple[tuple[Path, str], ...]


def decode(files: FolderFiles, *, channels: Literal[1, 3], image_size: int | None) -> Decoded:
    """Decode files to uint8 ``(N, H, W, channels)``; those that cannot be read are left out and listed.

    Raises:
        DataError: with ``image_size`` None, two images differ in shape.
    """

    images: npt.NDArray[np.uint8] | None = None
    good: list[int] = []
    unreadable: list[tuple[Path, str]] = []
    for i, result in enumerate(_read_all(files.paths, channels, image_size)):
        if isinstance(result, str):
            unreadable.append((files.paths[i], result))
            continue
        if images is None:
            images = np.empty((len(files), *result.shape), dtype=np.uint8)
        if result.shape != images.shape[1:]:
            raise DataError(
                f"{files.paths[i]} must be {_size(images[0])} pixels like the others, got {_size(result)}; "
                "use dataset=imagefolder with dataset.image_size=N"
            )
        images[len(good)] = result
        good.append(i)
    if images is None:
        images = np.empty((0, 1, 1, channels), dtype=np.uint8)
    kept = FolderFiles(tuple(files.paths[i] for i in good), tuple(files.labels[i] for i in good))
    return Decoded(images[: len(good)], kept, tuple(unreadable))


def _read_all(
    paths: Sequence[Path], channels: Literal[1, 3], image_size: int | None
) -> Iterator[npt.NDArray[np.uint8] | str]:
    """Images, or reasons why they cannot be read, in order."""

    def read(path: Path) -> npt.NDArray[np.uint8] | str:
        try:
            return read_image(path, channels=channels, image_size=image_size)
        except UnreadableImageError as error:
            return str(error).removeprefix(f"{path}: ")

    return _in_threads(read, paths)


def _in_threads(read: Callable[[Path], T], paths: Sequence[Path]) -> Iterator[T]:
    """Results in order; decoders work outside Python's lock."""
    pool = ThreadPoolExecutor(min(_MAX_THREADS, available_cores()))
    try:
        yield from pool.map(read, paths)
    finally:
        # After an error or Ctrl-C nobody waits for the thousands of files that are still queued.
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class DecodedFolders:
    """Both splits of class folders, without the files that cannot be read."""

    scan: FolderScan
    train: Decoded
    test: Decoded

    @property
    def unreadable(self) -> tuple[tuple[Path, str], ...]:
        """(file, reason) of all files that were left out."""
        return self.train.unreadable + self.test.unreadable


@runtime_checkable
class FolderSource(Protocol):
    """A data source that may read class folders."""

    def decode(self, data_dir: Path) -> DecodedFolders | None:
        """The decoded folders; None when the data come from elsewhere.

        Raises:
            DataError: there are no class folders.
            RefusedError: a symbolic link leads out of the root.
        """
        ...


def decode_folders(scan: FolderScan, *, channels: Literal[1, 3], image_size: int | None) -> DecodedFolders:
    """Decode both splits.

    Raises:
        DataError: with ``image_size`` None, two images differ in shape.
    """
    train, test = (decode(files, channels=channels, image_size=image_size) for files in (scan.train, scan.test))
    return DecodedFolders(scan, train, test)


def stored_folders(scan: FolderScan, *, channels: Literal[1, 3], image_size: int, data_dir: Path) -> DecodedFolders:
    """As ``decode_folders``, from the store in ``data_dir`` as far as it holds them; the rest is decoded into it."""
    # In one order, whatever split a file stands in: another test fraction decodes nothing anew.
    paths = sorted([*scan.train.paths, *scan.test.paths])
    places = {path: row for row, path in enumerate(paths)}
    with stored_images(
        paths,
        scan.root,
        channels=channels,
        image_size=image_size,
        data_dir=data_dir,
        decode=lambda chunk: _read_all(chunk, channels, image_size),
    ) as stored:

        def part(files: FolderFiles) -> Decoded:
            rows = [places[path] for path in files.paths]
            good = [i for i, row in enumerate(rows) if row not in stored.reasons]
            kept = FolderFiles(tuple(files.paths[i] for i in good), tuple(files.labels[i] for i in good))
            unreadable = [(paths[row], stored.reasons[row]) for row in rows if row in stored.reasons]
            copied = np.asarray(stored.images[[rows[i] for i in good]])
            return Decoded(copied, kept, tuple(unreadable))

        return DecodedFolders(scan, part(scan.train), part(scan.test))


def assemble_folders(decoded: DecodedFolders, unreadable: Literal["error", "skip"]) -> LoadedData:
    """A checked data set from decoded folders.

    Args:
        unreadable: ``skip`` leaves unreadable files out, and notes how many and which.

    Raises:
        DataError: files cannot be read (with ``error``), or none of a class can.
    """
    scan, bad = decoded.scan, decoded.unreadable
    notes = dict(scan.notes)
    if bad and unreadable == "error":
        raise DataError(
            f"{scan.root}: {len(bad)} of {len(scan.train) + len(scan.test)} files cannot be read: "
            f"{_shown([f'{scan.name(path)} ({reason})' for path, reason in bad])}; "
            "mend or remove them, or give dataset.unreadable=skip"
        )
    if bad:
        notes["unreadable"] = len(bad)
        notes["unreadable_files"] = [scan.name(path) for path, _ in bad]
        _check_classes_left(scan, decoded.train.kept)
        if not len(decoded.test.kept):
            raise DataError(f"{scan.root}: none of the {len(scan.test)} test images can be read; mend or replace them")
    train, test = _raw(decoded.train, scan, "training images"), _raw(decoded.test, scan, "test images")
    return assemble(train, test, scan.class_names, files=(scan.root,), notes=notes)


def _check_classes_left(scan: FolderScan, kept: FolderFiles) -> None:
    left = set(kept.labels)
    for label, name in enumerate(scan.class_names):
        if label not in left:
            raise DataError(f"{scan.root}: none of the images of class {name!r} can be read; mend or remove the class")


def _raw(decoded: Decoded, scan: FolderScan, split: str) -> RawSplit:
    labels = np.array(decoded.kept.labels, dtype=np.int64)
    return RawSplit(decoded.images, labels, f"{scan.root}: {split}", f"{scan.root}: labels of the {split}")


def _size(array: npt.NDArray[np.uint8]) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"


def _shown(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    rest = f" and {more} more, which `nin-exp data check` names"
    return ", ".join(names[:_MOST_NAMED]) + (rest if more > 0 else "")
