"""Copy class folders into ``train``, ``val`` and ``test``; the source is only read."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nin_exp.data.folders import class_files
from nin_exp.data.splits import partition
from nin_exp.errors import RefusedError, StorageError


@dataclass(frozen=True)
class SplitFolders:
    """What was copied where.

    Args:
        counts: images of each class in each part, as ``counts[class][part]``.
        num_ignored: files that are no images, which were not copied.
    """

    source: Path
    dest: Path
    seed: int
    fractions: dict[str, float]
    counts: dict[str, dict[str, int]]
    num_ignored: int


def split_folders(source: Path, dest: Path, fractions: Mapping[str, float], seed: int) -> SplitFolders:
    """Copy ``SOURCE/CLASS/…`` to ``DEST/PART/CLASS/…``, of each class its shares, drawn by the seed.

    The split depends on the names of the files and the seed alone. The destination gets its name when it is whole.

    Args:
        fractions: of the parts, each positive, summing to 1.

    Raises:
        DataError: the source holds no class folders, or is split already.
        RefusedError: the destination holds something, or one folder lies in the other.
        StorageError: the destination cannot be written.
    """
    source, dest = source.expanduser().absolute(), dest.expanduser().absolute()
    classes, num_ignored = class_files(source)
    _refuse_destination(source, dest)
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes.values()])
    names = list(fractions)
    parts = iter(partition(labels, list(fractions.values()), seed).tolist())
    counts = {name: dict.fromkeys(names, 0) for name in classes}
    temporary = dest.with_name(f".{dest.name}.splitting")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a split that was killed
        for class_name, files in classes.items():
            for path in files:
                part = names[next(parts)]
                target = temporary / part / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
                counts[class_name][part] += 1
        if dest.exists():
            dest.rmdir()  # empty, or it fails
        temporary.rename(dest)
    except OSError as error:
        raise StorageError(
            f"{dest} cannot be written: {error.strerror or error}; free space or give another"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return SplitFolders(source, dest, seed, dict(fractions), counts, num_ignored)


def _refuse_destination(source: Path, dest: Path) -> None:
    real_source, real_dest = source.resolve(), dest.resolve()
    if real_dest.is_relative_to(real_source) or real_source.is_relative_to(real_dest):
        raise RefusedError(f"DEST must lie outside SOURCE, and SOURCE outside DEST, got {dest} and {source}")
    if dest.is_symlink() or (dest.exists() and (not dest.is_dir() or any(dest.iterdir()))):
        raise RefusedError(f"DEST must be empty or not there yet, got '{dest}'; nothing is ever overwritten")
