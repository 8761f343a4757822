"""A user's own images in one ``.npz``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nin_exp.contracts.data import DataSource, LoadedData
from nin_exp.data.formats.npz import read_npz
from nin_exp.data.location import Location
from nin_exp.data.named import locate_npz
from nin_exp.data.splits import hashed_test_split
from nin_exp.data.validate import RawSplit, assemble, check_split
from nin_exp.errors import DataError
from nin_exp.ranges import OpenFraction, check_fields


@dataclass(frozen=True, kw_only=True)
class Arrays(DataSource):
    """An ``.npz`` with ``x_train y_train x_test y_test class_names``; further arguments as in ``DataSource``.

    Images are uint8 ``N x H x W [x C]``, labels integers from 0. ``class_names`` may be absent, and so may the test
    arrays: then the same images are test in every run, by a hash of their bytes.

    Args:
        source: path of the file.
        test_fraction: without ``x_test``, this part of each class is test.
    """

    source: str
    test_fraction: OpenFraction

    def __post_init__(self) -> None:
        check_fields(self)

    def locate(self, data_dir: Path) -> Location:
        """The file, with the shapes in its header (see ``Locatable``)."""
        return locate_npz(self._path())

    def load(self, data_dir: Path) -> LoadedData:
        """Read and check the file; ``data_dir`` is not used (see ``DataSource``)."""
        path = self._path()
        train, test, names = read_npz(path)
        notes = {}
        if test is None:
            train, test = _cut_test(train, self.test_fraction)
            notes["test_split"] = f"{len(test.images)} images by a hash of their bytes"
        return assemble(train, test, names, files=(path,), notes=notes)

    def _path(self) -> Path:
        path = Path(self.source).expanduser()
        if not path.is_file():
            raise DataError(
                f"dataset.source must be an existing .npz file, got '{path}'; use dataset=imagefolder for folders"
            )
        return path


def _cut_test(split: RawSplit, test_fraction: float) -> tuple[RawSplit, RawSplit]:
    checked = check_split(split, None)
    is_test = hashed_test_split([image.tobytes() for image in checked.images], checked.labels, test_fraction)
    if not is_test.any():
        raise DataError(
            f"{split.images_name} must hold a class with at least 2 images, to cut a test split; give x_test"
        )

    def part(rows: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> RawSplit:
        boxes = None if checked.boxes is None else checked.boxes[rows]
        return replace(split, images=checked.images[rows], labels=checked.labels[rows], boxes=boxes)

    return part(~is_test), part(is_test)
