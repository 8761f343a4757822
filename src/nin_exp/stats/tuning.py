"""What tuning is worth: the best validation score that a number of trials is expected to find.

Dodge et al. (2019) draw the trials with replacement, which is biased downwards; the form here is the unbiased one of
Tang et al. (2020), the mean of the best over all subsets of the trials.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nin_exp.stats.intervals import as_sample


def expected_best(scores: ArrayLike) -> NDArray[np.float64]:
    """The expected best score of 1, 2, … N of the trials, drawn at random without replacement.

    The last value is the best trial itself, and rests on it alone: read the curve well below N. It holds for trials
    that are exchangeable, as in random search; a sampler that learns orders them.

    Args:
        scores: of finished trials, higher is better, shape ``(N,)``; a trial that failed or diverged counts with the
            score that a user would be left with, not as missing.

    Returns:
        shape ``(N,)``, never falling.

    >>> expected_best([1.0, 2.0, 3.0]).round(4).tolist()
    [2.0, 2.6667, 3.0]
    """
    values = np.sort(as_sample(scores))
    n = values.size
    budgets, ranks = np.arange(1, n + 1)[:, None], np.arange(1, n + 1)[None, :]
    # The i-th smallest is the best of a subset of size b in C(i - 1, b - 1) of C(n, b) subsets.
    weights = np.where(ranks >= budgets, np.exp(_log_choose(ranks - 1, budgets - 1) - _log_choose(n, budgets)), 0.0)
    best: NDArray[np.float64] = weights @ values
    return np.maximum.accumulate(best)


def equal_budget(arms: Mapping[str, ArrayLike]) -> tuple[int, dict[str, float]]:
    """Compare tuned arms at the largest number of trials that all of them have.

    Args:
        arms: the trials' scores of each arm; at least one arm.

    Returns:
        The budget in trials, and each arm's expected best score at it.

    >>> budget, best = equal_budget({"gap": [0.9, 0.8], "fc": [0.7, 0.9, 0.8]})
    >>> budget, {arm: round(score, 4) for arm, score in best.items()}
    (2, {'gap': 0.9, 'fc': 0.8667})
    """
    if not arms:
        raise ValueError("equal_budget needs at least one arm, got none")
    samples = {arm: as_sample(scores) for arm, scores in arms.items()}
    budget = min(sample.size for sample in samples.values())
    return budget, {arm: float(expected_best(sample)[budget - 1]) for arm, sample in samples.items()}


def _log_choose(n: ArrayLike, k: ArrayLike) -> NDArray[np.float64]:
    n, k = np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64)
    # Where k > n nothing is chosen; the caller leaves those out.
    rest = np.maximum(n - k, 0.0)
    logs: NDArray[np.float64] = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(rest + 1)
    return logs
