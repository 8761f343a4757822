"""McNemar's test: two trained networks on the same examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


@dataclass(frozen=True)
class McNemar:
    """Exact two-sided test of one pair of networks.

    Args:
        only_arm: examples that the arm alone gets right. only_baseline: that the baseline alone does.
        p: of the binomial distribution at one half; 1 where the two never differ.
    """

    only_arm: int
    only_baseline: int
    p: float


def mcnemar(arm_correct: ArrayLike, baseline_correct: ArrayLike) -> McNemar:
    """Test whether two networks err alike on the examples where one of them errs (McNemar 1947), exactly.

    It speaks about these two networks and new examples: it knows nothing of other seeds.

    Args:
        arm_correct: shape ``(N,)``, true where the arm's network is right.
        baseline_correct: the same of the baseline's network, on the same examples.

    >>> mcnemar([1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]).p
    0.03125
    """
    a, b = np.asarray(arm_correct, dtype=np.bool_), np.asarray(baseline_correct, dtype=np.bool_)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"both must be one row of the same examples, got shapes {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    num = only_a + only_b
    p = 1.0 if num == 0 else min(1.0, 2 * float(special.bdtr(min(only_a, only_b), num, 0.5)))
    return McNemar(only_a, only_b, p)
