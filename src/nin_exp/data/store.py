"""Prepare a data set once: fetched, decoded and written as the ``.npz`` that later runs read."""

from __future__ import annotations

from pathlib import Path

from nin_exp.contracts.data import DataSource
from nin_exp.data.formats.npz import write_npz
from nin_exp.data.location import Locatable
from nin_exp.data.named import NamedSource
from nin_exp.errors import ConfigError


def store(source: DataSource, data_dir: Path) -> Path:
    """Write a data set into the data folder, at its native size where it has one; returns the file.

    Nothing is done when the file that is there would be read already. With ``source`` given, it is written anew.

    Raises:
        ConfigError: the data set is embedded, or nothing but its source.
        DataError: it cannot be fetched or read.
        StorageError: the folder cannot be written.
    """
    location = source.locate(data_dir) if isinstance(source, Locatable) else None
    if location is None or location.store is None:
        raise ConfigError(
            f"{type(source).__name__} needs no preparing: it is embedded or read from dataset.source; use it as it is"
        )
    if location.path != location.store:
        written = source.stored() if isinstance(source, NamedSource) else source
        write_npz(written.load(data_dir), location.store)
    return location.store
