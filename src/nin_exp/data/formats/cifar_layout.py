"""torchvision's layout of CIFAR-10 and CIFAR-100: pickled batches in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nin_exp.data.download import RemoteFile, extract, fetch
from nin_exp.data.formats.cifar import SIDE, read_batch, read_names
from nin_exp.data.validate import RawSplit
from nin_exp.errors import DataError

_MAX_BYTES = 1 << 30  # the archives unpack to 186 MB


@dataclass(frozen=True, kw_only=True)
class CifarLayout:
    """See ``Layout``.

    Args:
        folder: name of the folder of batches, here and in the archive.
        train_files: names of the training batches.
        meta_file: the file of class names, under ``names_key``.
        labels_key: of the labels in a batch.
        archive: where all of it comes from.
    """

    name: str
    folder: str
    train_files: tuple[str, ...]
    test_file: str
    meta_file: str
    names_key: str
    labels_key: str
    archive: RemoteFile
    class_names: tuple[str, ...] = ()  # the meta file has them
    official_counts: tuple[int, int] = (50_000, 10_000)
    channels: Literal[1, 3] = 3

    def folders(self, root: Path) -> Sequence[Path]:
        return (root / self.folder, root)

    def find(self, folder: Path) -> tuple[list[Path], list[str]]:
        paths = [folder / name for name in (*self.train_files, self.test_file, self.meta_file)]
        return [p for p in paths if p.is_file()], [p.name for p in paths if not p.is_file()]

    def read(self, files: Sequence[Path]) -> tuple[RawSplit, RawSplit, tuple[str, ...]]:
        *train_paths, test_path, meta_path = files
        splits = []
        for paths in (train_paths, [test_path]):
            batches = [read_batch(path, self.labels_key) for path in paths]
            for path, (images, labels) in zip(paths, batches, strict=True):
                if labels.shape != (len(images),):
                    raise DataError(
                        f"{path}: {self.labels_key} must be {len(images)} labels, got {labels.shape}; fetch it again"
                    )
            where = str(paths[0].parent) if len(paths) > 1 else str(paths[0])
            images = np.concatenate([batch[0] for batch in batches])
            labels = np.concatenate([batch[1] for batch in batches])
            splits.append(RawSplit(images, labels, f"{where}: data", f"{where}: {self.labels_key}"))
        return splits[0], splits[1], read_names(meta_path, self.names_key)

    def shapes(self, files: Sequence[Path]) -> tuple[int | None, int | None, tuple[int, int, int]]:
        return None, None, (SIDE, SIDE, 3)  # a pickle has no header

    def fetch(self, data_dir: Path) -> None:
        archive = fetch(self.archive, data_dir)
        extract(archive, self.folder, self.folders(data_dir)[0], _MAX_BYTES)
