"""The ranges that a data source's fields state, held when the source is made from Python."""

from __future__ import annotations

import typing
from dataclasses import fields
from typing import TYPE_CHECKING

from nin_exp.ranges import check

if TYPE_CHECKING:
    from nin_exp.contracts.data import DataSource


def check_fields(source: DataSource) -> None:
    """Check every field against its annotation.

    Raises:
        ValueError: with the first problem, as ``nin_exp.ranges.validated`` does for functions.
    """
    hints = typing.get_type_hints(type(source), include_extras=True)
    for field in fields(source):
        problems = check(field.name, getattr(source, field.name), hints[field.name])
        if problems:
            raise ValueError(problems[0])
