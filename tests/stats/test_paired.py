import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from nin_exp.stats.multiplicity import holm
from nin_exp.stats.paired import correlation, hedges_g, paired_differences, paired_effect, probability_above
from nin_exp.stats.scores import summarise


def test_paired_effect_by_hand() -> None:
    # differences 1, 2, 3: mean 2, sd 1; half width 4.30265 / sqrt(3)
    effect = paired_effect([11, 22, 33], [10, 20, 30], alpha=0.05, n_contrasts=1)
    assert (effect.n, effect.mean, effect.sd) == (3, 2, 1)
    assert effect.interval == effect.widened
    assert effect.interval is not None
    assert effect.interval.low == pytest.approx(2 - 4.3026527 / math.sqrt(3), abs=1e-6)
    assert effect.p_arm_above == 1
    assert effect.correlation == pytest.approx(1)
    # J(2) = gamma(1) / (1 gamma(1/2)) = 1 / sqrt(pi)
    assert effect.effect_size == pytest.approx(2 / math.sqrt(math.pi))


def test_paired_effect_against_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.9, 0.01, 9), rng.normal(0.88, 0.02, 9)
    effect = paired_effect(a, b, alpha=0.05, n_contrasts=5)
    plain = scipy_stats.ttest_rel(a, b).confidence_interval(0.95)
    wide = scipy_stats.ttest_rel(a, b).confidence_interval(0.99)
    unpaired = scipy_stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert effect.interval is not None
    assert effect.widened is not None
    assert (effect.interval.low, effect.interval.high) == pytest.approx((plain.low, plain.high))
    assert (effect.widened.low, effect.widened.high) == pytest.approx((wide.low, wide.high))
    assert effect.widened.confidence == pytest.approx(0.99)
    assert effect.correlation == pytest.approx(scipy_stats.pearsonr(a, b).statistic)
    assert effect.width_ratio == pytest.approx((plain.high - plain.low) / (unpaired.high - unpaired.low))


def test_one_pair_has_no_interval() -> None:
    effect = paired_effect([0.9], [0.8], alpha=0.05, n_contrasts=1)
    assert effect.mean == pytest.approx(0.1)
    nothing = (
        effect.sd,
        effect.interval,
        effect.widened,
        effect.effect_size,
        effect.correlation,
        effect.width_ratio,
    )
    assert nothing == (None,) * 6


def test_two_pairs_have_no_correlation_and_no_effect_size() -> None:
    effect = paired_effect([0.9, 0.8], [0.7, 0.75], alpha=0.05, n_contrasts=1)
    assert effect.interval is not None
    assert (effect.correlation, effect.effect_size) == (None, None)


def test_identical_arms() -> None:
    effect = paired_effect([0.9, 0.8, 0.7], [0.9, 0.8, 0.7], alpha=0.05, n_contrasts=1)
    assert (effect.mean, effect.sd, effect.effect_size, effect.p_arm_above) == (0, 0, None, 0.5)


def test_equal_but_for_rounding_is_a_tie() -> None:
    assert (0.1 + 0.2) - 0.3 != 0
    assert paired_differences([0.1 + 0.2], [0.3]).tolist() == [0]
    assert probability_above([0, 1, -1, 0]) == 0.5
    assert probability_above([0, 1, 1]) == pytest.approx(2.5 / 3)


def test_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="must have one length, got 2 and 3"):
        paired_effect([1, 2], [1, 2, 3], alpha=0.05, n_contrasts=1)


@pytest.mark.parametrize(("n", "factor"), [(10, 1 - 3 / (4 * 9 - 1)), (30, 1 - 3 / (4 * 29 - 1))])
def test_hedges_correction_against_its_usual_approximation(n: int, factor: float) -> None:
    value = hedges_g(0.5, 1.0, n)
    assert value == pytest.approx(0.5 * factor, rel=2e-3)


def test_hedges_g_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0.8, 1, (40_000, 5))
    means, sds = x.mean(axis=1), x.std(axis=1, ddof=1)
    mean_g = np.mean([hedges_g(m, s, 5) for m, s in zip(means, sds, strict=True)])
    assert mean_g == pytest.approx(0.8, abs=0.015)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_swapping_the_arms_mirrors_everything(pairs: list[tuple[float, float]]) -> None:
    a, b = (list(side) for side in zip(*pairs, strict=True))
    forth, back = (paired_effect(x, y, alpha=0.05, n_contrasts=3) for x, y in ((a, b), (b, a)))
    assert forth.mean == pytest.approx(-back.mean)
    assert forth.p_arm_above == pytest.approx(1 - back.p_arm_above)
    assert forth.correlation == pytest.approx(back.correlation)
    if forth.interval is not None and back.interval is not None and forth.widened is not None:
        assert forth.interval.low == pytest.approx(-back.interval.high, abs=1e-9)
        assert forth.widened.width >= forth.interval.width


def test_correlation_without_spread() -> None:
    assert correlation([1, 1, 1], [1, 2, 3]) is None


def test_summarise() -> None:
    summary = summarise([1, 2, 3, 6])
    assert (summary.n, summary.mean, summary.lowest, summary.highest) == (4, 3, 1, 6)
    assert summary.sd == pytest.approx(math.sqrt(14 / 3))
    assert summarise([0.5]).sd is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
@settings(max_examples=60, deadline=None)
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])


def test_holm_refuses_what_is_no_p() -> None:
    with pytest.raises(ValueError, match=r"numbers in \[0, 1\]"):
        holm([0.5, 1.5])
    assert holm([]).size == 0
