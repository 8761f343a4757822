import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nin_exp.stats.bootstrap import bootstrap_interval
from nin_exp.stats.intervals import as_sample, standard_deviation, t_interval, welch_width
from nin_exp.stats.paired import paired_effect


def test_t_interval_by_hand() -> None:
    # mean 2, sd 1, n 4; t(0.975, 3) = 3.1824 in any printed table
    interval = t_interval(2.0, 1.0, 4, 0.95)
    assert interval.low == pytest.approx(2 - 3.1824463 / 2, abs=1e-6)
    assert interval.width == pytest.approx(3.1824463, abs=1e-6)


@pytest.mark.parametrize("n", [2, 3, 8, 40])
def test_t_interval_is_scipys(n: int) -> None:
    x = np.random.default_rng(n).normal(0.3, 2, n)
    sd = standard_deviation(x)
    assert sd is not None
    ours = t_interval(float(x.mean()), sd, n, 0.99)
    theirs = scipy_stats.ttest_1samp(x, 0).confidence_interval(0.99)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_welch_width_is_scipys() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 7), rng.normal(0, 3, 12)
    theirs = scipy_stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert welch_width(a, b, 0.9) == pytest.approx(theirs.high - theirs.low, rel=1e-9)


def test_welch_without_spread_has_no_width() -> None:
    assert welch_width([1, 1], [2, 2], 0.95) == 0


def test_rounding_is_no_spread() -> None:
    differences = np.array([0.93 - 0.92, 0.94 - 0.93])
    assert differences[0] != differences[1]
    assert standard_deviation(differences, scale=0.95) == 0
    assert standard_deviation([0.5]) is None


@pytest.mark.parametrize("values", [[], [[1.0]], [math.nan], [math.inf, 1]])
def test_not_a_sample(values: list[float]) -> None:
    with pytest.raises(ValueError, match="a sample must be a row of one or more finite numbers"):
        as_sample(values)


def test_too_few_values() -> None:
    with pytest.raises(ValueError, match="at least 2 values, got 1"):
        t_interval(0, 1, 1, 0.95)
    with pytest.raises(ValueError, match="at least 2 values in each sample, got 1 and 2"):
        welch_width([1], [1, 2], 0.95)
    with pytest.raises(ValueError, match="at least 2 values, got 1"):
        bootstrap_interval([1.0], 0.95, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"confidence must lie in \(0, 1\), got 1.5"):
        t_interval(0, 1, 5, 1.5)


def test_bootstrap_is_scipys_percentile_interval() -> None:
    x = np.random.default_rng(5).normal(1, 2, 25)
    ours = bootstrap_interval(x, 0.9, np.random.default_rng(0))
    theirs = scipy_stats.bootstrap(
        (x,),
        np.mean,
        confidence_level=0.9,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert (ours.interval.low, ours.interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)
    assert not ours.is_too_narrow


def test_bootstrap_same_rng_same_interval_and_warns_of_few() -> None:
    first, second = (bootstrap_interval([1, 2, 4, 8], 0.95, np.random.default_rng(7)) for _ in range(2))
    assert first == second
    assert first.is_too_narrow
    t = t_interval(3.75, float(np.std([1, 2, 4, 8], ddof=1)), 4, 0.95)
    assert first.interval.width < t.width


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 10, 30])
def test_coverage_of_the_paired_interval(n: int) -> None:
    """Of 2,000 studies with normal differences, 93-97 % of the intervals hold the truth."""
    rng = np.random.default_rng(2024 + n)
    hits = bootstrap_hits = 0
    for _ in range(2000):
        shared = rng.normal(0.9, 0.01, n)
        arm, baseline = shared + rng.normal(0.003, 0.004, n), shared + rng.normal(0, 0.004, n)
        interval = paired_effect(arm, baseline, alpha=0.05, n_contrasts=1).interval
        assert interval is not None
        hits += interval.low <= 0.003 <= interval.high
        few = bootstrap_interval(arm - baseline, 0.95, rng).interval
        bootstrap_hits += few.low <= 0.003 <= few.high
    print(f"{n} pairs: t interval {hits / 2000:.1%}, percentile bootstrap {bootstrap_hits / 2000:.1%}")
    assert 0.93 <= hits / 2000 <= 0.97
    assert bootstrap_hits < hits
    if n == 6:
        assert 0.83 <= bootstrap_hits / 2000 <= 0.89


@pytest.mark.slow
def test_coverage_of_all_widened_intervals_together() -> None:
    rng = np.random.default_rng(1)
    together = 0
    for _ in range(2000):
        baseline = rng.normal(0, 1, 8)  # the arms share it, so the contrasts depend on each other
        effects = [paired_effect(rng.normal(0, 1, 8), baseline, alpha=0.05, n_contrasts=4) for _ in range(4)]
        together += all(e.widened is not None and e.widened.low <= 0 <= e.widened.high for e in effects)
    assert together / 2000 >= 0.945
