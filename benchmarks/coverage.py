"""The tables of docs/statistics.md: how often intervals hold the truth, and what looking early saves.

python benchmarks/coverage.py
"""

from __future__ import annotations

import math

import numpy as np

from nin_exp.stats.bootstrap import bootstrap_interval
from nin_exp.stats.intervals import t_quantile
from nin_exp.stats.paired import paired_effect
from nin_exp.stats.sequential import boundary

STUDIES = 2_000
PATHS = 20_000
NOISES = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "counts of 1,000 images": lambda rng, size: (rng.binomial(1000, 0.9, size) - rng.binomial(1000, 0.9, size)) / 1e3,
    "Laplace (long tails)": lambda rng, size: rng.laplace(size=size),
    "uniform (no tails)": lambda rng, size: rng.uniform(-1, 1, size),
}


def print_coverage() -> None:
    """Of 95 % intervals of a mean paired difference, over simulated studies."""
    print("| pairs | paired t | percentile bootstrap |\n|---:|---:|---:|")
    for n in (6, 8, 10, 15, 20, 30):
        rng = np.random.default_rng(2024 + n)
        hits = bootstrap_hits = 0
        for _ in range(STUDIES):
            shared = rng.normal(0.9, 0.01, n)
            arm, baseline = shared + rng.normal(0.003, 0.004, n), shared + rng.normal(0, 0.004, n)
            interval = paired_effect(arm, baseline, alpha=0.05, n_contrasts=1).interval
            assert interval is not None
            hits += interval.low <= 0.003 <= interval.high
            few = bootstrap_interval(arm - baseline, 0.95, rng).interval
            bootstrap_hits += few.low <= 0.003 <= few.high
        print(f"| {n} | {hits / STUDIES:.1%} | {bootstrap_hits / STUDIES:.1%} |")


def first_crossing(x: np.ndarray, max_pairs: int, alpha: float) -> np.ndarray:
    """Pairs at which each path is decided, every pair from the sixth looked at; 0 for never."""
    stopped = np.zeros(len(x), dtype=int)
    for look in boundary(range(6, max_pairs + 1), max_pairs, alpha=alpha):
        part = x[:, : look.n_pairs]
        se = part.std(axis=1, ddof=1) / math.sqrt(look.n_pairs)
        stopped[(np.abs(part.mean(axis=1)) > look.critical * se) & (stopped == 0)] = look.n_pairs
    return stopped


def print_error() -> None:
    """Of all looks together, without a true difference."""
    print("\n| differences | at most 10 pairs | at most 20 pairs | at most 30 pairs |\n|---|---:|---:|---:|")
    for name, draw in NOISES.items():
        found = [
            (first_crossing(draw(np.random.default_rng(most), (PATHS, most)), most, 0.05) > 0).mean()
            for most in (10, 20, 30)
        ]
        print(f"| {name} | {' | '.join(f'{error:.2%}' for error in found)} |")


def print_savings() -> None:
    """Mean pairs until the decision, of at most 20."""
    print("\n| true effect | decided | mean pairs | decided by one test at 20 |\n|---:|---:|---:|---:|")
    for effect in (0.0, 0.5, 0.66, 1.0, 1.5, 2.0, 3.0):
        x = np.random.default_rng(6).normal(effect, 1, (PATHS, 20))
        stopped = first_crossing(x, 20, 0.05)
        single = np.abs(x.mean(axis=1)) > t_quantile(0.95, 19) * x.std(axis=1, ddof=1) / math.sqrt(20)
        pairs = np.where(stopped > 0, stopped, 20).mean()
        print(f"| {effect:g} | {(stopped > 0).mean():.1%} | {pairs:.1f} | {single.mean():.1%} |")


if __name__ == "__main__":
    print_coverage()
    print_error()
    print_savings()
