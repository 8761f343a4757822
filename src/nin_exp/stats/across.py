"""One difference over several data sets: the mean of the data sets' differences, and ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nin_exp.stats.bootstrap import DRAWS, FEW_PAIRS, BootstrapInterval, percentile_interval, seeded_means
from nin_exp.stats.intervals import Interval, as_sample, t_quantile


@dataclass(frozen=True)
class AcrossBlocks:
    """The mean over data sets of an arm's mean difference; each data set counts alike, whatever its seeds.

    Args:
        n_pairs: of each data set.
        interval: t interval over new seeds on these data sets, degrees of freedom after Satterthwaite (1946);
            None where a data set has a single pair.
        bootstrap: stratified by data set (Agarwal et al. 2021); None with the interval.
        wins: data sets whose mean difference is above 0, a tie counting half.
    """

    n_pairs: tuple[int, ...]
    mean: float
    interval: Interval | None
    bootstrap: BootstrapInterval | None
    wins: float


def across_blocks(blocks: Sequence[ArrayLike], confidence: float, rng: np.random.Generator) -> AcrossBlocks:
    """Average paired differences over data sets.

    The data sets are fixed: nothing is said about data sets that were not run.

    Args:
        blocks: the differences of each data set, one a pair; at least one data set.
        confidence: in (0, 1).
    """
    samples = [as_sample(block) for block in blocks]
    if not samples:
        raise ValueError("across_blocks needs at least one data set, got none")
    means = np.array([sample.mean() for sample in samples])
    counts = tuple(sample.size for sample in samples)
    wins = float((means > 0).sum() + 0.5 * (means == 0).sum())
    mean = float(means.mean())
    if min(counts) < 2:
        return AcrossBlocks(counts, mean, None, None, wins)
    return AcrossBlocks(
        counts, mean, _t_interval(samples, mean, confidence), stratified_bootstrap(samples, confidence, rng), wins
    )


def stratified_bootstrap(
    blocks: Sequence[NDArray[np.float64]], confidence: float, rng: np.random.Generator
) -> BootstrapInterval:
    """Percentile interval of the mean of block means, pairs drawn anew within each block.

    Args:
        blocks: differences, each of shape ``(N_b,)``.
    """
    total, seed = np.zeros(DRAWS), int(rng.integers(2**31))
    for place, sample in enumerate(blocks):
        # The draws of blocks of one size are the same set. Each block starts in it at a place of its own, so that what
        # is added up was drawn independently.
        total += np.roll(seeded_means(sample, seed), place)
    few = sum(sample.size - 1 for sample in blocks) < FEW_PAIRS - 1
    return BootstrapInterval(percentile_interval(total / len(blocks), confidence), DRAWS, few)


def _t_interval(samples: Sequence[NDArray[np.float64]], mean: float, confidence: float) -> Interval:
    parts = np.array([sample.var(ddof=1) / sample.size for sample in samples]) / len(samples) ** 2
    variance = float(parts.sum())
    if variance == 0:
        return Interval(mean, mean, confidence)
    df = variance**2 / float(sum(part**2 / (s.size - 1) for part, s in zip(parts, samples, strict=True)))
    half = t_quantile(confidence, df) * math.sqrt(variance)
    return Interval(mean - half, mean + half, confidence)


@dataclass(frozen=True)
class Ranks:
    """Mean rank of each arm over data sets, 1 the best; ties share the mean of their ranks.

    Args:
        friedman_p: p-value of Friedman's test in the form of Iman and Davenport (1980), which Demšar (2006)
            recommends; None with fewer than 3 arms or 2 data sets, and where every data set ties all arms.
    """

    mean_ranks: tuple[float, ...]
    friedman_p: float | None


def mean_ranks(scores: ArrayLike) -> Ranks:
    """Rank the arms in each data set and average the ranks (Demšar 2006).

    Args:
        scores: mean score of each data set and arm, higher is better, shape ``(B, A)``.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape or not np.isfinite(table).all():
        raise ValueError(f"scores must be a table of finite numbers (data sets, arms), got shape {table.shape}")
    ranks = np.array([_ranks(row) for row in table])
    return Ranks(tuple(float(rank) for rank in ranks.mean(axis=0)), _friedman(ranks))


def _ranks(row: NDArray[np.float64]) -> NDArray[np.float64]:
    above = (row[None, :] > row[:, None]).sum(axis=1)
    equal = (row[None, :] == row[:, None]).sum(axis=1)
    ranks: NDArray[np.float64] = above + (equal + 1) / 2
    return ranks


def _friedman(ranks: NDArray[np.float64]) -> float | None:
    b, a = ranks.shape
    spread = float(((ranks - (a + 1) / 2) ** 2).sum())
    if a < 3 or b < 2 or spread == 0:
        return None
    # With ties counted: chi² = (a - 1) Σ_arms (sum of ranks - mean)² / Σ (rank - mean)²
    chi2 = (a - 1) * float(((ranks.sum(axis=0) - b * (a + 1) / 2) ** 2).sum()) / spread
    rest = b * (a - 1) - chi2
    if rest <= 1e-12:
        return 0.0
    return float(special.fdtrc(a - 1, (a - 1) * (b - 1), (b - 1) * chi2 / rest))
