"""torchvision's layout of SVHN: ``train_32x32.mat``, ``test_32x32.mat`` and, when wanted, ``extra_32x32.mat``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nin_exp.data.download import RemoteFile, fetch
from nin_exp.data.formats.svhn import read_mat, read_mat_shape
from nin_exp.data.validate import RawSplit

_SERVER = "http://ufldl.stanford.edu/housenumbers/"
_MD5 = {
    "train": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test": "eb5a983be6a315427106f1b164d9cef3",
    "extra": "a93ce644f1a588dc4d68dda5feec44a7",
}
_COUNTS = {"train": 73_257, "test": 26_032, "extra": 531_131}


@dataclass(frozen=True, kw_only=True)
class SvhnLayout:
    """See ``Layout``. With ``extra``, a data set of its own name, which no other ``.npz`` can be taken for."""

    extra: bool
    class_names: tuple[str, ...] = tuple(str(digit) for digit in range(10))
    channels: Literal[1, 3] = 3

    @property
    def name(self) -> str:
        return "svhn_extra" if self.extra else "svhn"

    @property
    def parts(self) -> tuple[str, ...]:
        """The files that are read; training first, test last."""
        return ("train", "extra", "test") if self.extra else ("train", "test")

    @property
    def official_counts(self) -> tuple[int, int]:
        return sum(_COUNTS[part] for part in self.parts[:-1]), _COUNTS["test"]

    def folders(self, root: Path) -> Sequence[Path]:
        return (root / "SVHN", root / "svhn", root)

    def find(self, folder: Path) -> tuple[list[Path], list[str]]:
        paths = [folder / _file_name(part) for part in self.parts]
        return [p for p in paths if p.is_file()], [p.name for p in paths if not p.is_file()]

    def read(self, files: Sequence[Path]) -> tuple[RawSplit, RawSplit, tuple[str, ...]]:
        parts = []
        for path in files:
            images, labels = read_mat(path)
            parts.append(RawSplit(images, labels, f"{path}: X", f"{path}: y"))
        return _joined(parts[:-1]), parts[-1], self.class_names

    def shapes(self, files: Sequence[Path]) -> tuple[int | None, int | None, tuple[int, int, int]]:
        found = [read_mat_shape(path) for path in files]
        return sum(shape[0] for shape in found[:-1]), found[-1][0], (found[0][1], found[0][2], found[0][3])

    def fetch(self, data_dir: Path) -> None:
        for part in self.parts:
            name = _file_name(part)
            fetch(RemoteFile(name, (_SERVER + name,), _MD5[part]), self.folders(data_dir)[0])


def _joined(parts: list[RawSplit]) -> RawSplit:
    if len(parts) == 1:
        return parts[0]
    names = " and ".join(part.images_name for part in parts), " and ".join(part.labels_name for part in parts)
    return RawSplit(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]), *names)


def _file_name(part: str) -> str:
    return f"{part}_32x32.mat"
