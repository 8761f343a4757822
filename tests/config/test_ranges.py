"""Types and ranges: what fits, what does not, and what is said then."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest

from nin_exp.ranges import DropRate, NonNegativeInt, OpenFraction, PositiveFloat, PositiveInt, check, validated


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (0.1, PositiveFloat),
        (1, PositiveFloat),
        (0, NonNegativeInt),
        (None, PositiveInt | None),
        (3, PositiveInt | None),
        ("a", Literal["a", "b"]),
        ([1, 2], list[PositiveInt]),
        ([[1], [2, 3]], list[list[int]]),
        ({"x": 1}, dict[str, int]),
        (0.0, DropRate),
        (True, bool),
        ("anything", Any),
    ],
)
def test_what_fits(value: object, annotation: Any) -> None:
    assert check("key", value, annotation) == []


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        (0, PositiveFloat, "key must lie in (0, inf), got 0"),
        (-1.5, PositiveFloat, "key must lie in (0, inf), got -1.5"),
        (math.nan, PositiveFloat, "key must lie in (0, inf), got nan"),
        (math.inf, PositiveFloat, "key must lie in (0, inf), got inf"),
        (1.0, DropRate, "key must lie in [0, 1), got 1.0"),
        (1.0, OpenFraction, "key must lie in (0, 1), got 1.0"),
        (1.5, PositiveInt, "key must be an integer, got 1.5"),
        (True, PositiveInt, "key must be an integer, got True"),
        ("1", PositiveFloat, "key must be a number, got '1'"),
        (1, bool, "key must be true or false, got 1"),
        (None, int, "key must be an integer, got null"),
        ("c", Literal["a", "b"], "key must be one of a, b, got 'c'"),
        (True, Literal[1], "key must be one of 1, got True"),
        ([1, 0], list[PositiveInt], "key[1] must lie in [1, inf), got 0"),
        (3, list[int], "key must be a list, got 3"),
        ({"x": "y"}, dict[str, int], "key.x must be an integer, got 'y'"),
        ("x", PositiveInt | None, "key must be an integer or null, got 'x'"),
        (0, PositiveInt | list[int] | None, "key must lie in [1, inf), got 0"),
        ([0.5], PositiveInt | list[int] | None, "key[0] must be an integer, got 0.5"),
        (0.5, PositiveInt | list[int] | None, "key must be an integer or a list or null, got 0.5"),
        (True, PositiveInt | Literal["all"], "key must be an integer or one of all, got True"),
        (2**63, PositiveInt, f"key must fit into 64 bits, got {2**63}"),
        (10**400, PositiveFloat, f"key must fit into 64 bits, got {10**400}"),
    ],
)
def test_what_does_not_fit(value: object, annotation: Any, message: str) -> None:
    assert check("key", value, annotation) == [message]


@validated
def _scaled(*, rate: DropRate, width: PositiveInt) -> float:
    return rate * width


def test_validated_checks_calls() -> None:
    assert _scaled(rate=0.5, width=4) == 2.0
    with pytest.raises(ValueError, match=r"rate must lie in \[0, 1\), got 1\.5"):
        _scaled(rate=1.5, width=4)
    with pytest.raises(ValueError, match=r"width must be an integer, got 0\.5"):
        _scaled(rate=0.5, width=0.5)  # type: ignore[arg-type]
