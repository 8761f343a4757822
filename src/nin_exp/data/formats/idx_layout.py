"""torchvision's layout of MNIST and its relatives: four idx files in ``ROOT/FOLDER/raw``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nin_exp.data.download import RemoteFile, fetch
from nin_exp.data.formats.idx import read_idx, read_idx_shape
from nin_exp.data.validate import RawSplit

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True, kw_only=True)
class IdxLayout:
    """See ``Layout``.

    Args:
        folder: torchvision's name of the data set.
        mirrors: addresses below which the four files lie, gzipped.
        md5: of the four gzipped files, in the order of ``FILES``.
    """

    name: str
    folder: str
    class_names: tuple[str, ...]
    mirrors: tuple[str, ...]
    md5: tuple[str, str, str, str]
    official_counts: tuple[int, int] = (60_000, 10_000)
    channels: Literal[1, 3] = 1

    def folders(self, root: Path) -> Sequence[Path]:
        return (root / self.folder / "raw", root / "raw", root)

    def find(self, folder: Path) -> tuple[list[Path], list[str]]:
        found, missing = [], []
        for name in FILES:
            path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
            if path is None:
                missing.append(name)
            else:
                found.append(path)
        return found, missing

    def read(self, files: Sequence[Path]) -> tuple[RawSplit, RawSplit, tuple[str, ...]]:
        arrays = [read_idx(path, ndim) for path, ndim in zip(files, (3, 1, 3, 1), strict=True)]
        train = RawSplit(arrays[0], arrays[1], str(files[0]), str(files[1]))
        test = RawSplit(arrays[2], arrays[3], str(files[2]), str(files[3]))
        return train, test, self.class_names

    def shapes(self, files: Sequence[Path]) -> tuple[int | None, int | None, tuple[int, int, int]]:
        train, test = read_idx_shape(files[0], 3), read_idx_shape(files[2], 3)
        return train[0], test[0], (train[1], train[2], 1)

    def fetch(self, data_dir: Path) -> None:
        for name, md5 in zip(FILES, self.md5, strict=True):
            urls = tuple(f"{mirror}{name}.gz" for mirror in self.mirrors)
            fetch(RemoteFile(f"{name}.gz", urls, md5), self.folders(data_dir)[0])
