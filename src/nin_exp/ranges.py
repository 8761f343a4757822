"""Types with ranges, for the arguments that a configuration can set.

A class states the rule once, in its signature (``lr: PositiveFloat``). ``check`` reads it when
the configuration is composed (without importing the class, so without torch), and ``validated``
(or ``check_fields``, for dataclasses) when the class is called from Python.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Range:
    """A numeric interval; ``None`` leaves a side open."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def contains(self, value: float) -> bool:
        """Whether a finite value lies inside."""
        return (
            (isinstance(value, int) or math.isfinite(value))  # isfinite cannot take integers above 1e308
            and (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def __str__(self) -> str:
        lower = (
            "(-inf"
            if self.ge is None and self.gt is None
            else f"[{self.ge:g}"
            if self.ge is not None
            else f"({self.gt:g}"
        )
        upper = (
            "inf)"
            if self.le is None and self.lt is None
            else f"{self.le:g}]"
            if self.le is not None
            else f"{self.lt:g})"
        )
        return f"{lower}, {upper}"


PositiveFloat = Annotated[float, Range(gt=0)]
NonNegativeFloat = Annotated[float, Range(ge=0)]
PositiveInt = Annotated[int, Range(ge=1)]
NonNegativeInt = Annotated[int, Range(ge=0)]
Fraction = Annotated[float, Range(ge=0, le=1)]
OpenFraction = Annotated[float, Range(gt=0, lt=1)]
DropRate = Annotated[float, Range(ge=0, lt=1)]


def check(key: str, value: object, annotation: Any) -> list[str]:
    """List what is wrong with a value, as "key must …, got …"; an empty list when it fits.

    Args:
        key: the dotted name a user typed, for the message.
        annotation: a type: scalars, ``X | None``, ``Literal``, ``list[X]``, ``dict[str, X]``, ``Annotated[X, Range]``.
    """
    if annotation is Any or isinstance(annotation, TypeVar):
        return []
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        problems = check(key, value, arguments[0])
        for rule in arguments[1:]:
            if not problems and isinstance(rule, Range) and not rule.contains(typing.cast(float, value)):
                problems.append(f"{key} must lie in {rule}, got {_show(value)}")
        return problems
    if origin in (typing.Union, types.UnionType):
        return _check_union(key, value, arguments)
    if origin is Literal:
        # `True == 1`: compare the types as well
        fits = any(value == a and type(value) is type(a) for a in arguments)
        return [] if fits else [f"{key} must be {_words(annotation)}, got {_show(value)}"]
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            return _check_plain(key, value, list)
        return (
            [p for i, item in enumerate(value) for p in check(f"{key}[{i}]", item, arguments[0])] if arguments else []
        )
    if origin is dict:
        if not isinstance(value, dict):
            return _check_plain(key, value, dict)
        return [p for k, item in value.items() for p in check(f"{key}.{k}", item, arguments[1])]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return [f"{key} must fit into 64 bits, got {_show(value)}"]
    return _check_plain(key, value, annotation)


_WORDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}


def _words(annotation: Any) -> str:
    """What a value must be, without its ranges and contents."""
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(map(str, get_args(annotation)))}"
    return _WORDS.get(_kind(annotation), str(annotation))


def _kind(annotation: Any) -> Any:
    """The plain type behind an annotation."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    return list if origin is tuple else origin or annotation


def _is_kind(value: object, kind: Any) -> bool:
    if kind in (int, float):  # an integer is a number, true is not one
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    if kind is list:
        return isinstance(value, (list, tuple))
    return isinstance(value, kind) if kind in _WORDS else True


def _check_union(key: str, value: object, alternatives: tuple[Any, ...]) -> list[str]:
    """The problem with the alternative of the value's own kind; without one, all that it may be."""
    attempts = [(a, check(key, value, a)) for a in alternatives]
    if any(not problems for _, problems in attempts):
        return []
    own = [problems for a, problems in attempts if _kind(a) in _WORDS and _is_kind(value, _kind(a))]
    if own:
        return own[0]
    words = " or ".join(dict.fromkeys(_words(a) for a in alternatives))
    return [f"{key} must be {words}, got {_show(value)}"]


def _check_plain(key: str, value: object, annotation: Any) -> list[str]:
    return [] if _is_kind(value, annotation) else [f"{key} must be {_words(annotation)}, got {_show(value)}"]


def _show(value: object) -> str:
    return "null" if value is None else str(value) if not isinstance(value, str) else f"'{value}'"


def validated(function: F) -> F:
    """Check annotated arguments whenever the function is called; raises ValueError with the first problem."""
    hints: dict[str, Any] = {}

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not hints:  # resolved late: annotations are strings while the module is being imported
            hints.update(typing.get_type_hints(function, include_extras=True))
        bound = inspect.signature(function).bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            problems = check(name, value, hints.get(name, Any))
            if problems:
                raise ValueError(problems[0])
        return function(*args, **kwargs)

    return typing.cast(F, wrapper)


def check_fields(instance: Any) -> None:
    """Check every field of a dataclass against its annotation, as ``validated`` does for functions.

    Raises:
        ValueError: with the first problem.
    """
    hints = typing.get_type_hints(type(instance), include_extras=True)
    for field in fields(instance):
        problems = check(field.name, getattr(instance, field.name), hints[field.name])
        if problems:
            raise ValueError(problems[0])
