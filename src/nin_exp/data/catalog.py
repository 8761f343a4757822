"""Which data sets there are, and where each would be read from now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nin_exp.contracts.data import DataSource
from nin_exp.data.location import Locatable, Location
from nin_exp.errors import NinExpError


@dataclass(frozen=True)
class CatalogEntry:
    """One data set.

    Args:
        name: as in ``dataset=NAME``.
        location: None for a source that cannot say, such as a user's own class.
        problem: why it cannot be read, in one line; None when nothing is known against it.
    """

    name: str
    location: Location | None
    problem: str | None = None

    @property
    def is_prepared(self) -> bool:
        """Whether it is read without a download, conversion or decoding: embedded, or one ``.npz``."""
        return self.location is not None and self.location.origin in ("embedded", "npz")


def catalog(sources: Mapping[str, DataSource], data_dir: Path) -> list[CatalogEntry]:
    """Look for each data set, reading headers at most; in the order given."""
    return [_entry(name, source, data_dir) for name, source in sources.items()]


def _entry(name: str, source: DataSource, data_dir: Path) -> CatalogEntry:
    if not isinstance(source, Locatable):
        return CatalogEntry(name, None)
    try:
        return CatalogEntry(name, source.locate(data_dir))
    except NinExpError as error:
        return CatalogEntry(name, Location("missing"), str(error))
