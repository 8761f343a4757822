"""A user's own images in class folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nin_exp.contracts.data import DataSource, LoadedData
from nin_exp.data.decode import DecodedFolders, assemble_folders, stored_folders
from nin_exp.data.folders import scan_folders
from nin_exp.data.location import Location
from nin_exp.ranges import OpenFraction, PositiveInt, check_fields


@dataclass(frozen=True, kw_only=True)
class ImageFolder(DataSource):
    """Class folders of RGB images; further arguments as in ``DataSource``.

    Args:
        source: ``ROOT`` with ``ROOT/train/CLASS`` and ``ROOT/test/CLASS`` (or ``val``), or with ``ROOT/CLASS``.
        image_size: every image is squashed to this height and width in pixels.
        test_fraction: without a test folder, this part of each class is test, by a hash of the file names.
        unreadable: ``error`` stops at files that cannot be read and names them; ``skip`` leaves them out and notes it.
    """

    source: str
    image_size: PositiveInt
    test_fraction: OpenFraction
    unreadable: Literal["error", "skip"]

    def __post_init__(self) -> None:
        check_fields(self)

    def locate(self, data_dir: Path) -> Location:
        """The folder, with the number of its files (see ``Locatable``)."""
        return locate_folders(Path(self.source).expanduser(), self.test_fraction, self.image_size)

    def load(self, data_dir: Path) -> LoadedData:
        """Every image at ``image_size``; those decoded into ``data_dir`` before are read (see ``DataSource``)."""
        return assemble_folders(self.decode(data_dir), self.unreadable)

    def decode(self, data_dir: Path) -> DecodedFolders:
        """The decoded class folders (see ``FolderSource``)."""
        return decode_rgb(Path(self.source).expanduser(), self.test_fraction, self.image_size, data_dir)


def locate_folders(root: Path, test_fraction: float, image_size: int) -> Location:
    """Class folders, with the number of their files.

    Raises:
        DataError: there are no class folders.
        RefusedError: a symbolic link leads out of the root.
    """
    scan = scan_folders(root, test_fraction)
    shape = (image_size, image_size, 3)
    counts = len(scan.train), len(scan.test)
    return Location("folders", scan.root, (scan.root,), *counts, shape, num_classes=len(scan.class_names))


def decode_rgb(root: Path, test_fraction: float, image_size: int, data_dir: Path) -> DecodedFolders:
    """Decode class folders as RGB squares, or read what was decoded before.

    Raises:
        DataError: there are no class folders.
        RefusedError: a symbolic link leads out of the root.
    """
    return stored_folders(scan_folders(root, test_fraction), channels=3, image_size=image_size, data_dir=data_dir)
