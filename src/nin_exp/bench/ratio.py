"""Two ways of doing the same, measured in turn: what is said is their ratio, since machines change speed."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """Paired measurements of one quantity, in one unit.

    Args:
        higher_is_better: of both figures; the ratio is then ours by theirs, else theirs by ours.
    """

    name: str
    unit: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    theirs_name: str
    higher_is_better: bool

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times better, pair by pair."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return tuple(a / b if self.higher_is_better else b / a for a, b in pairs)

    def __str__(self) -> str:
        low, middle, high = min(self.ratios), statistics.median(self.ratios), max(self.ratios)
        return (
            f"{self.name}: {statistics.median(self.ours):.4g} {self.unit}, "
            f"{self.theirs_name} {statistics.median(self.theirs):.4g}: "
            f"{middle:.2f} times better ({low:.2f}-{high:.2f}, {len(self.ratios)} pairs)"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "ratios": self.ratios, "median_ratio": statistics.median(self.ratios)}


def alternate(
    name: str,
    unit: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    *,
    theirs_name: str,
    higher_is_better: bool,
    repeats: int,
) -> Ratio:
    """Measure in turn: theirs, ours, theirs, ours …"""
    measured: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        measured[1].append(theirs())
        measured[0].append(ours())
    return Ratio(name, unit, tuple(measured[0]), tuple(measured[1]), theirs_name, higher_is_better)
