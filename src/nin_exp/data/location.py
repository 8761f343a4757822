"""Where a data set would be read from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

Origin = Literal["embedded", "npz", "files", "folders", "download", "missing"]


@dataclass(frozen=True)
class Location:
    """Where a data set would be read from now.

    Args:
        origin: ``embedded`` (needs no file), ``npz``, ``files`` (torchvision's layout), ``folders`` (class folders),
            ``download`` (is not here yet) or ``missing`` (cannot be fetched either).
        path: the file or folder; None when embedded or not here.
        files: with ``files``, each file that would be read.
        num_train: training images, validation included, as far as it can be told without reading them.
        shape: ``(H, W, C)`` of one image, with the same limit; before ``image_size`` of an ``.npz`` or of files.
        num_classes: with the same limit.
        store: the ``.npz`` in the data folder that serves this data set once it is prepared; None for data sets that
            are nothing but their source, or embedded.
    """

    origin: Origin
    path: Path | None = None
    files: tuple[Path, ...] = ()
    num_train: int | None = None
    num_test: int | None = None
    shape: tuple[int, int, int] | None = None
    store: Path | None = None
    num_classes: int | None = None

    @property
    def is_here(self) -> bool:
        """Whether it can be read without a download."""
        return self.origin not in ("download", "missing")


@runtime_checkable
class Locatable(Protocol):
    """A data source that can say where it would read from."""

    def locate(self, data_dir: Path) -> Location:
        """Where the data would come from now; reads headers at most.

        Raises:
            DataError: ``source`` was given and is not what this data set can read.
        """
        ...
