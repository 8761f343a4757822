"""The UCI handwritten digits inside scikit-learn: 1,797 digits, 8x8 grey; no download (Alpaydin, Kaynak 1998)."""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import DataSource, ImageArrays, LoadedData
from nin_exp.data.location import Location
from nin_exp.data.splits import hashed_test_split
from nin_exp.errors import ConfigError, DataError
from nin_exp.ranges import check_fields

SIDE = 8
NUM_CLASSES = 10
TEST_FRACTION = 0.2
_LEVELS = 16  # a cell counts the dark pixels among 16


@dataclass(frozen=True)
class DigitArrays:
    """All digits, with the fixed test split.

    Args:
        images: uint8 ``(1797, 8, 8)``, 0…255.
        labels: int64 ``(1797,)``.
        is_test: the same for every seed: in each class those images whose bytes have the smallest hashes.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    is_test: npt.NDArray[np.bool_]


def read_digits() -> DigitArrays:
    """Read the digits from scikit-learn's own file, without importing scikit-learn (2 s).

    Raises:
        DataError: scikit-learn is not installed, or no longer holds the file.
    """
    table = _read_table()
    levels = table[:, :-1].reshape(-1, SIDE, SIDE)
    images = ((levels * 255 + _LEVELS // 2) // _LEVELS).astype(np.uint8)
    labels = table[:, -1]
    is_test = hashed_test_split([image.tobytes() for image in images], labels, TEST_FRACTION)
    return DigitArrays(images, labels, is_test)


def _read_table() -> npt.NDArray[np.int64]:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("dataset=digits needs scikit-learn; install it with: pip install scikit-learn")
    path = Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    if path.is_file():
        with gzip.open(path, "rt", encoding="ascii") as file:
            return np.loadtxt(file, delimiter=",", dtype=np.int64)
    from sklearn.datasets import load_digits  # a version that keeps them elsewhere

    found = load_digits()
    return np.column_stack([found.data, found.target]).astype(np.int64)


def locate_digits(side: int) -> Location:
    """The embedded digits, on images of ``side`` x ``side`` pixels."""
    is_test = read_digits().is_test
    return Location(
        "embedded",
        num_train=int((~is_test).sum()),
        num_test=int(is_test.sum()),
        shape=(side, side, 1),
        num_classes=NUM_CLASSES,
    )


def refuse_source(source: str | None, name: str) -> None:
    """Raise ConfigError when a path is given for data that are embedded."""
    if source is not None:
        raise ConfigError(
            f"dataset.source must be null for dataset={name}, which is embedded, got '{source}'; use dataset=arrays"
        )


@dataclass(frozen=True, kw_only=True)
class Digits(DataSource):
    """The digits at their native size; a fixed 20 % of each class is the test split. ``source`` must be None."""

    def __post_init__(self) -> None:
        check_fields(self)
        refuse_source(self.source, "digits")

    def locate(self, data_dir: Path) -> Location:
        """Embedded (see ``Locatable``)."""
        return locate_digits(SIDE)

    def load(self, data_dir: Path) -> LoadedData:
        """Read from the installed package; ``data_dir`` is not used (see ``DataSource``)."""
        digits = read_digits()
        splits = [
            ImageArrays(digits.images[rows][..., None], digits.labels[rows])
            for rows in (~digits.is_test, digits.is_test)
        ]
        return LoadedData(splits[0], splits[1], tuple(str(digit) for digit in range(NUM_CLASSES)))
