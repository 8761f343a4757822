import math

import numpy as np
import pytest
from scipy import special
from scipy import stats as scipy_stats

from nin_exp.stats import planning
from nin_exp.stats.planning import (
    decision_probability,
    detectable_effect,
    further_pairs,
    paired_power,
    pairs_for_exact_test,
    pairs_needed,
    smallest_p,
)


def test_smallest_p() -> None:
    assert [smallest_p(n, 1) for n in (0, 1, 5, 6, 8)] == [1, 1, 0.0625, 0.03125, 0.0078125]
    assert smallest_p(8, 10) == pytest.approx(0.078125)
    assert smallest_p(3, 10) == 1
    with pytest.raises(ValueError, match="n_contrasts >= 1, got 3 and 0"):
        smallest_p(3, 0)


@pytest.mark.parametrize("n_contrasts", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("alpha", [0.05, 0.0625, 0.01])
def test_pairs_for_exact_test_is_the_first_that_reaches_alpha(n_contrasts: int, alpha: float) -> None:
    n = pairs_for_exact_test(n_contrasts, alpha)
    assert smallest_p(n, n_contrasts) <= alpha * (1 + 1e-9)
    assert n == 1 or smallest_p(n - 1, n_contrasts) > alpha


@pytest.mark.parametrize("n", [6, 8, 20, 100])
@pytest.mark.parametrize("n_contrasts", [1, 4])
def test_detectable_effect_is_statsmodels(n: int, n_contrasts: int) -> None:
    power = pytest.importorskip("statsmodels.stats.power").TTestPower()
    theirs = power.solve_power(nobs=n, alpha=0.05 / n_contrasts, power=0.8)
    assert detectable_effect(n, 0.005, n_contrasts) == pytest.approx(0.005 * float(theirs), rel=1e-5)


@pytest.mark.parametrize(("n", "n_contrasts"), [(2, 1), (2, 4), (3, 4), (8, 4)])
def test_detectable_effect_by_simulation(n: int, n_contrasts: int) -> None:
    """Also for tiny samples, where statsmodels' root finder stops at the end of its range."""
    effect = detectable_effect(n, 1.0, n_contrasts)
    x = np.random.default_rng(0).normal(effect, 1, (40_000, n))
    found = scipy_stats.ttest_1samp(x, 0, axis=1).pvalue < 0.05 / n_contrasts
    assert found.mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("effect", [0.1, 0.5, 1.0, 1.5])
def test_power_and_pairs_needed_are_statsmodels(effect: float) -> None:
    power = pytest.importorskip("statsmodels.stats.power").TTestPower()
    assert paired_power(7, effect, 2) == pytest.approx(power.power(effect, 7, 0.025), abs=1e-9)
    n = pairs_needed(effect, 2)
    assert n is not None
    assert paired_power(n, effect, 2) >= 0.8 > (paired_power(n - 1, effect, 2) if n > 2 else 0)
    if n > 4:  # its root finder fails on tiny samples
        assert n == math.ceil(power.solve_power(effect_size=effect, alpha=0.025, power=0.8))


def test_detectable_effect_at_the_edges() -> None:
    assert detectable_effect(1, 0.01, 1) == math.inf
    assert detectable_effect(8, 0.0, 1) == 0
    assert detectable_effect(8, 0.01, 5) > detectable_effect(8, 0.01, 1) > detectable_effect(9, 0.01, 1)
    with pytest.raises(ValueError, match="sd must be >= 0"):
        detectable_effect(8, -1, 1)
    assert pairs_needed(0.001, 1, maximum=100) is None


@pytest.mark.parametrize(
    ("n", "mean", "sd", "level"),
    [
        (8, 0.006, 0.004, 0.05),
        (12, -0.006, 0.004, 0.01),
        (40, 0.0, 0.003, 0.05),
        (30, 0.001, 0.002, 0.05),
        (10, 0.003, 0.005, 0.0125),
    ],
)
def test_decision_probability_by_simulation(n: int, mean: float, sd: float, level: float) -> None:
    x = np.random.default_rng(n).normal(mean, sd, (20_000, n))
    half = scipy_stats.t.ppf(1 - level / 2, n - 1) * x.std(axis=1, ddof=1) / np.sqrt(n)
    low, high = x.mean(axis=1) - half, x.mean(axis=1) + half
    decided = (low > 0.002) | (high < -0.002) | ((low >= -0.002) & (high <= 0.002))
    assert decision_probability(n, mean, sd, 0.002, level) == pytest.approx(decided.mean(), abs=0.015)


def test_further_pairs_is_the_first_that_probably_decides() -> None:
    more = further_pairs(6, 0.005, 0.004, 0.002, 0.05)
    assert not more.is_bound
    n = 6 + more.pairs
    assert decision_probability(n, 0.005, 0.004, 0.002, 0.05) >= 0.8
    assert decision_probability(n - 1, 0.005, 0.004, 0.002, 0.05) < 0.8
    # 17 pairs for a margin of 0.75 sd: statsmodels, one-sided at 0.025
    power = pytest.importorskip("statsmodels.stats.power").TTestPower()
    assert n == math.ceil(power.solve_power(effect_size=0.75, alpha=0.025, power=0.8, alternative="larger"))


def test_further_pairs_is_capped_on_the_edge_of_the_region() -> None:
    more = further_pairs(8, 0.002, 0.004, 0.002, 0.05)
    assert (more.pairs, more.is_bound) == (planning.MAX_FURTHER_PAIRS, True)


def test_further_pairs_also_finds_equivalence() -> None:
    more = further_pairs(6, 0.0, 0.002, 0.002, 0.05)
    assert not more.is_bound
    assert 4 <= more.pairs <= 12


def test_far_tails_never_give_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    for df in (1, 2, 5, 30):
        for shift in (-1000.0, -50.0, 0.0, 50.0, 1000.0):
            for quantile in (2.0, 63.0, 1000.0):
                assert 0 <= planning._above(quantile, df, shift) <= 1
    # the fallback, where the library can be asked too
    expected = planning._above(2.3, 7, 2.5)
    monkeypatch.setattr(special, "nctdtr", lambda *_: math.nan)
    assert planning._above(2.3, 7, 2.5) == pytest.approx(expected, abs=1e-3)
