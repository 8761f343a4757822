"""The parts of a page: sections, each with a template of its own, and the tables they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nin_exp.report.figures.figure import Figure

MOST_BLOCKS = 24
"""Blocks that are drawn; of more, the tables have all."""


UNMONITORED = "Seeds were added until the verdicts; these intervals know nothing of that, and only describe."
"""Below tables of intervals that assume a fixed number of seeds."""


def not_drawn(blocks: tuple[str, ...]) -> str:
    """Say how many blocks have no picture; empty when all have one."""
    more = len(blocks) - MOST_BLOCKS
    return f"The first {MOST_BLOCKS} blocks are drawn; {more} more stand in the tables." if more > 0 else ""


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Args:
        key: its anchor, and the name of its template ``sections/<key>.html.j2``.
        title: its heading, and its entry in the contents where that has no shorter one (see ``page.ENTRIES``).
        values: what the template shows; all text is escaped there.
        figures: shown by the template; their data goes into the page once.
    """

    key: str
    title: str
    values: Mapping[str, Any]
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class TableCell:
    """A cell.

    Args:
        sort: what sorting goes by; None: the text.
        note: smaller, behind the text.
        tone: a verdict or state, which gives the text a colour.
    """

    text: str
    sort: float | str | None = None
    is_strong: bool = False
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Column:
    """A column; ``hint`` explains its title."""

    title: str
    is_number: bool = True
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is its header.

    Args:
        columns: one a cell of each row.
        notes: lines below the table.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def hints(self) -> tuple[Column, ...]:
        """The columns that have an explanation."""
        return tuple(column for column in self.columns if column.hint)
