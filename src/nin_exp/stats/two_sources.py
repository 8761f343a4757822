"""Two sources of doubt about a difference in accuracy: the seeds that were run, and the test examples that were drawn.

An interval over seeds speaks about new seeds on the same examples. The runs share their examples, so more seeds do not
shrink what the choice of examples adds. Both are crossed (every seed meets every example), as readers and cases are in
radiology: the two-way analysis of variance without replication separates them (Dorfman, Berbaum and Metz 1992), with
degrees of freedom after Hillis (2007).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nin_exp.stats.bootstrap import DRAWS, percentile_interval
from nin_exp.stats.intervals import Interval, t_quantile


@dataclass(frozen=True)
class TwoSources:
    """A mean difference in accuracy over seeds and examples, with the doubt that each of them adds.

    Args:
        n_seeds, n_examples: size of the table.
        se_seeds: standard error over new seeds, on these examples; None for one seed.
        se_examples: standard error over new examples, with these trained networks.
        se_both: standard error over new seeds and new examples at once; None for one seed.
        seeds, examples, both: the intervals; ``examples`` is a percentile bootstrap over the examples. None for one
            seed: an interval around whichever network that seed gave would be taken for one of the arms.
        df: degrees of freedom of ``both``.
    """

    n_seeds: int
    n_examples: int
    mean: float
    se_seeds: float | None
    se_examples: float
    se_both: float | None
    seeds: Interval | None
    examples: Interval | None
    both: Interval | None
    df: float | None

    @property
    def examples_share(self) -> float | None:
        """Share of the whole variance that more seeds cannot remove, in [0, 1]; None for one seed or no variance."""
        if self.se_both is None or self.se_seeds is None or self.se_both == 0:
            return None
        return min(1.0, max(0.0, 1 - (self.se_seeds / self.se_both) ** 2))


def two_sources(differences: ArrayLike, confidence: float, rng: np.random.Generator) -> TwoSources:
    """Separate the variance of a mean paired difference.

    Args:
        differences: correct(arm) - correct(baseline) of each seed and example, in {-1, 0, 1}, shape ``(S, N)``;
            the examples of all seeds are the same, in the same order.
        confidence: of each interval, in (0, 1).

    Raises:
        ValueError: the table is not one of at least one seed and two examples.
    """
    table = np.asarray(differences)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise ValueError(f"differences must be of shape (seeds, examples), at least (1, 2), got {table.shape}")
    s, n = table.shape
    by_seed = table.mean(axis=1, dtype=np.float64)
    by_example = table.mean(axis=0, dtype=np.float64)
    mean = float(by_seed.mean())
    ms_example = s * float(by_example.var(ddof=1))
    se_examples = math.sqrt(ms_example / (s * n))
    if s < 2:
        return TwoSources(s, n, mean, None, se_examples, None, None, None, None, None)
    ms_seed = n * float(by_seed.var(ddof=1))
    # Each mean square holds the remainder once; their sum would hold it twice.
    extra = max(0.0, ms_example - _remainder(table, mean, ms_seed, ms_example))
    variance = (ms_seed + extra) / (s * n)
    df = None if ms_seed == 0 else (ms_seed + extra) ** 2 / (ms_seed**2 / (s - 1))  # Hillis 2007
    se_seeds, se_both = math.sqrt(ms_seed / (s * n)), math.sqrt(variance)
    return TwoSources(
        n_seeds=s,
        n_examples=n,
        mean=mean,
        se_seeds=se_seeds,
        se_examples=se_examples,
        se_both=se_both,
        seeds=_interval(mean, se_seeds, s - 1, confidence),
        examples=example_bootstrap(by_example, confidence, rng),
        both=_interval(mean, se_both, math.inf if df is None else df, confidence),
        df=df,
    )


def _remainder(table: NDArray[Any], mean: float, ms_seed: float, ms_example: float) -> float:
    """Mean square of what neither the seed nor the example explains."""
    s, n = table.shape
    squares = float((table.astype(np.float64) ** 2).sum()) - s * n * mean**2
    return float(max(0.0, squares - (s - 1) * ms_seed - (n - 1) * ms_example) / ((s - 1) * (n - 1)))


def example_bootstrap(values: ArrayLike, confidence: float, rng: np.random.Generator) -> Interval:
    """Percentile bootstrap interval of a mean over examples; there are hundreds of them, so it is not too narrow.

    The values are few and repeated (wins in 0, 1, … of the seeds): drawing how often each value comes is the same as
    drawing the examples, and takes the same time for any number of them.

    Args:
        values: one an example, shape ``(N,)``.
    """
    levels, counts = np.unique(np.asarray(values, dtype=np.float64).round(12), return_counts=True)
    size = int(counts.sum())
    drawn = rng.multinomial(size, counts / size, size=DRAWS)
    return percentile_interval(drawn @ levels / size, confidence)


def _interval(mean: float, se: float, df: float, confidence: float) -> Interval:
    half = t_quantile(confidence, min(df, 1e9)) * se
    return Interval(mean - half, mean + half, confidence)


def correctness(predicted: ArrayLike, labels: ArrayLike) -> NDArray[np.int8]:
    """1 where a prediction is right, else 0; shape of ``predicted``, ``(S, N)`` or ``(N,)``, int8.

    Args:
        labels: shape ``(N,)``.
    """
    hits: NDArray[np.int8] = (np.asarray(predicted) == np.asarray(labels)).astype(np.int8)
    return hits
