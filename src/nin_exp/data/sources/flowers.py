"""Flower photographs: about 3,670 of 5 classes, in colour, of many sizes (The TensorFlow Team 2019; CC-BY)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from nin_exp.contracts.data import DataSource, LoadedData
from nin_exp.data.decode import DecodedFolders, assemble_folders
from nin_exp.data.download import RemoteFile, extract, fetch, only_one
from nin_exp.data.formats.npz import read_npz
from nin_exp.data.location import Location
from nin_exp.data.named import FOLDER_TEST_FRACTION, locate_npz
from nin_exp.data.sources.imagefolder import decode_rgb, locate_folders
from nin_exp.data.validate import assemble
from nin_exp.errors import DataError
from nin_exp.ranges import PositiveInt, check_fields

_ARCHIVE = RemoteFile(
    "flower_photos.tgz",
    ("https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",),
    "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",  # as in tensorflow-datasets
    "sha256",
)
_MAX_BYTES = 1 << 30
_STORE = "flowers.npz"


@dataclass(frozen=True, kw_only=True)
class Flowers(DataSource):
    """Flower photographs; a fifth of each class is test, by a hash of the file names.

    Args:
        image_size: every photograph is squashed to this height and width in pixels; the others as in ``DataSource``.
        unreadable: ``error`` stops at files that cannot be read and names them; ``skip`` leaves them out and notes it.
    """

    image_size: PositiveInt
    unreadable: Literal["error", "skip"]

    def __post_init__(self) -> None:
        check_fields(self)

    def locate(self, data_dir: Path) -> Location:
        """``source``, ``flowers.npz`` of the wanted size, ``flowers/`` or ``flower_photos/`` (see ``Locatable``)."""
        return replace(self._locate(data_dir), store=data_dir / _STORE)

    def _locate(self, data_dir: Path) -> Location:
        if self.source is not None:
            source = Path(self.source).expanduser()
            return locate_npz(source) if source.is_file() else self._folders(source)
        prepared = data_dir / _STORE
        # Prepared small, it would be blurred at another size.
        if prepared.is_file() and (found := locate_npz(prepared)).shape == (self.image_size, self.image_size, 3):
            return found
        for folder in (data_dir / "flowers", data_dir / "flower_photos"):
            if folder.is_dir():
                return self._folders(folder)
        return Location("download")

    def load(self, data_dir: Path) -> LoadedData:
        """Read it, after a download when it is nowhere (see ``DataSource``)."""
        location = self.locate(data_dir)
        if not location.is_here:
            location = self._download(data_dir)
        assert location.path is not None
        if location.origin == "npz":
            train, test, names = read_npz(location.path)
            if test is None:
                raise DataError(f"{location.path}: key x_test is missing; use dataset=arrays, which cuts a test split")
            return assemble(train, test, names, files=location.files)
        return assemble_folders(self._decode(location.path, data_dir), self.unreadable)

    def decode(self, data_dir: Path) -> DecodedFolders | None:
        """The decoded class folders, unless it is prepared (see ``FolderSource``)."""
        location = self.locate(data_dir)
        if location.origin != "folders" or location.path is None:
            return None
        return self._decode(location.path, data_dir)

    def _decode(self, root: Path, data_dir: Path) -> DecodedFolders:
        return decode_rgb(root, FOLDER_TEST_FRACTION, self.image_size, data_dir)

    def _folders(self, root: Path) -> Location:
        return locate_folders(root, FOLDER_TEST_FRACTION, self.image_size)

    def _download(self, data_dir: Path) -> Location:
        with only_one(data_dir, "flowers"):
            location = self.locate(data_dir)
            if location.is_here:
                return location
            try:
                archive = fetch(_ARCHIVE, data_dir)
            except DataError as error:
                raise DataError(
                    f"flowers is not in {data_dir}, and {error}; give a local copy: dataset.source=PATH"
                ) from error
            extract(archive, "flower_photos", data_dir / "flowers", _MAX_BYTES)
            return self.locate(data_dir)
