"""Data sets with a name: looked for in ``source``, in the data folder, and fetched when they are nowhere.

The order: ``source`` (an ``.npz``, torchvision's layout, or class folders); else ``DATA_DIR/NAME.npz``; else
torchvision's layout in the data folder; else a download into it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from nin_exp.contracts.data import DataSource, LoadedData
from nin_exp.data.decode import DecodedFolders, assemble_folders, decode_folders
from nin_exp.data.download import only_one
from nin_exp.data.folders import scan_folders
from nin_exp.data.formats.npz import read_npz, read_shapes
from nin_exp.data.location import Location
from nin_exp.data.validate import RawSplit, assemble
from nin_exp.errors import DataError
from nin_exp.ranges import check_fields

# Class folders without a test folder: an arbitrary but fixed part.
FOLDER_TEST_FRACTION = 0.2


class Layout(Protocol):
    """torchvision's folder layout of one data set.

    Args:
        name: of the data set, and of its ``.npz``.
        class_names: where the files hold none.
        channels: of its images.
        official_counts: training and test images of the complete data set.
    """

    @property
    def name(self) -> str: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def channels(self) -> Literal[1, 3]: ...
    @property
    def official_counts(self) -> tuple[int, int]: ...

    def folders(self, root: Path) -> Sequence[Path]:
        """Where below ``root`` the files may lie, first choice first."""
        ...

    def find(self, folder: Path) -> tuple[list[Path], list[str]]:
        """The files that are there, and the names of those that are missing."""
        ...

    def read(self, files: Sequence[Path]) -> tuple[RawSplit, RawSplit, tuple[str, ...]]:
        """Training split, test split, class names."""
        ...

    def shapes(self, files: Sequence[Path]) -> tuple[int | None, int | None, tuple[int, int, int]]:
        """Training images, test images, shape of one image; from headers alone, None where they do not tell."""
        ...

    def fetch(self, data_dir: Path) -> None:
        """Download into ``folders(data_dir)[0]``."""
        ...


@dataclass(frozen=True, kw_only=True)
class NamedSource(DataSource):
    """A data set that torchvision knows too; a subclass states its layout."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """The layout of this data set's own files."""

    def locate(self, data_dir: Path) -> Location:
        """Where the data would come from now (see ``Locatable``)."""
        found = locate(self.layout, self.source, data_dir)
        return replace(found, store=data_dir / f"{self.layout.name}.npz")

    def stored(self) -> NamedSource:
        """The source whose data are written into the data folder, to serve this one and its like."""
        return self

    def load(self, data_dir: Path) -> LoadedData:
        """Read it, after a download when it is nowhere (see ``DataSource``)."""
        layout = self.layout
        location = self.locate(data_dir)
        if not location.is_here:
            location = _download(layout, data_dir)
        folders = self._decode(location)
        loaded = _read(layout, location) if folders is None else assemble_folders(folders, "error")
        counts = (len(loaded.train), len(loaded.test))
        if counts != layout.official_counts:
            official = zip(("train", "test"), counts, layout.official_counts, strict=True)
            loaded.notes["images_of_official"] = {split: f"{have}/{full}" for split, have, full in official}
        return loaded

    def decode(self, data_dir: Path) -> DecodedFolders | None:
        """The decoded class folders, when ``source`` names such (see ``FolderSource``)."""
        return self._decode(self.locate(data_dir))

    def _decode(self, location: Location) -> DecodedFolders | None:
        if location.origin != "folders":
            return None
        assert location.path is not None
        scan = scan_folders(location.path, FOLDER_TEST_FRACTION)
        return decode_folders(scan, channels=self.layout.channels, image_size=None)


def locate(layout: Layout, source: str | None, data_dir: Path) -> Location:
    """Where a named data set would be read from.

    Raises:
        DataError: ``source`` was given and is not what this data set can read.
    """
    if source is not None:
        return _locate_source(layout, Path(source).expanduser())
    prepared = data_dir / f"{layout.name}.npz"
    if prepared.is_file():
        return locate_npz(prepared)
    return _complete_layout(layout, data_dir) or Location("download")


def _locate_source(layout: Layout, source: Path) -> Location:
    if source.is_file():
        return locate_npz(source)
    if not source.is_dir():
        raise DataError(f"dataset.source must be an existing file or folder, got '{source}'; give the path of an .npz")
    found = _complete_layout(layout, source)
    if found is not None:
        return found
    for folder in layout.folders(source):
        present, missing = layout.find(folder) if folder.is_dir() else ([], [])
        if present:
            raise DataError(f"{folder} must hold the whole {layout.name}, but {missing[0]} is missing; fetch it again")
    return Location("folders", source)


def locate_npz(path: Path) -> Location:
    """An ``.npz``, with what its headers tell.

    Raises:
        DataError: it is no ``.npz``.
    """
    shapes = read_shapes(path)
    train, test = shapes.get("x_train", ()), shapes.get("x_test", ())
    shape = (train[1], train[2], train[3] if len(train) > 3 else 1) if len(train) in (3, 4) else None
    names = shapes.get("class_names", ())
    return Location(
        "npz",
        path,
        (path,),
        train[0] if train else None,
        test[0] if test else None,
        shape,
        num_classes=names[0] if len(names) == 1 else None,
    )


def _complete_layout(layout: Layout, root: Path) -> Location | None:
    for folder in layout.folders(root):
        if folder.is_dir():
            files, missing = layout.find(folder)
            if not missing:
                classes = len(layout.class_names) or None
                return Location("files", folder, tuple(files), *layout.shapes(files), num_classes=classes)
    return None


def _download(layout: Layout, data_dir: Path) -> Location:
    with only_one(data_dir, layout.name):
        location = locate(layout, None, data_dir)  # another process may have fetched it while this one waited
        if location.is_here:
            return location
        try:
            layout.fetch(data_dir)
        except DataError as error:
            raise DataError(
                f"{layout.name} is not in {data_dir}, and {error}; give a local copy: dataset.source=PATH"
            ) from error
        return locate(layout, None, data_dir)


def _read(layout: Layout, location: Location) -> LoadedData:
    names: tuple[str, ...] | None
    if location.origin == "npz":
        train, test, names = read_npz(location.files[0])
        if test is None:
            raise DataError(f"{location.path}: key x_test is missing; {layout.name} has a test split of its own")
        names = names or layout.class_names or None
    else:
        train, test, names = layout.read(location.files)
    return assemble(train, test, names, files=location.files)
