"""The scores of one arm in one block."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from nin_exp.stats.intervals import as_sample, standard_deviation


@dataclass(frozen=True)
class ScoreSummary:
    """Mean, spread and range of ``n`` scores; ``sd`` is None for one."""

    n: int
    mean: float
    sd: float | None
    lowest: float
    highest: float


def summarise(scores: ArrayLike) -> ScoreSummary:
    """Describe an arm's scores, shape ``(N,)``, one a seed."""
    sample = as_sample(scores)
    return ScoreSummary(
        n=sample.size,
        mean=float(sample.mean()),
        sd=standard_deviation(sample),
        lowest=float(sample.min()),
        highest=float(sample.max()),
    )
