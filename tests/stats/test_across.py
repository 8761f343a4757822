"""Several data sets together; tuning budgets; reliability; confusion."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from nin_exp.stats.across import across_blocks, mean_ranks
from nin_exp.stats.calibration import reliability
from nin_exp.stats.confusion import confusion, rates
from nin_exp.stats.tuning import equal_budget, expected_best


def test_across_blocks_by_hand() -> None:
    found = across_blocks([[1, 3], [0, 0, 3]], 0.95, np.random.default_rng(0))
    assert (found.mean, found.n_pairs, found.wins) == (1.5, (2, 3), 2)
    # variances of the means: 2/2 and 3/3, each by 2² -> 0.5; df = 0.25 / (1/16 / 1 + 1/16 / 2)
    half = scipy_stats.t.ppf(0.975, 0.25 / (1 / 16 + 1 / 32)) * np.sqrt(0.5)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((1.5 - half, 1.5 + half))


def test_one_block_is_the_t_interval() -> None:
    x = np.random.default_rng(0).normal(0, 1, 9)
    found = across_blocks([x], 0.9, np.random.default_rng(0))
    theirs = scipy_stats.ttest_1samp(x, 0).confidence_interval(0.9)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((theirs.low, theirs.high))


def test_two_blocks_are_welch() -> None:
    """The mean of two means has half the spread of their difference, and the same degrees of freedom."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 6), rng.normal(0, 3, 11)
    found = across_blocks([a, b], 0.95, rng)
    theirs = scipy_stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert found.interval is not None
    assert found.interval.width == pytest.approx((theirs.high - theirs.low) / 2)


def test_stratified_bootstrap_by_enumeration() -> None:
    """All 4 x 27 equally likely resamples of two tiny blocks."""
    a, b = [0.0, 1.0], [0.0, 1.0, 5.0]
    means = [
        (np.mean(x) + np.mean(y)) / 2 for x in itertools.product(a, repeat=2) for y in itertools.product(b, repeat=3)
    ]
    found = across_blocks([a, b], 0.8, np.random.default_rng(0)).bootstrap
    assert found is not None
    assert found.is_too_narrow
    low, high = np.quantile(means, [0.1, 0.9])
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=0.13)


def test_single_pairs_have_no_interval() -> None:
    found = across_blocks([[0.1], [0.2, 0.3]], 0.95, np.random.default_rng(0))
    assert (found.interval, found.bootstrap) == (None, None)
    with pytest.raises(ValueError, match="at least one data set"):
        across_blocks([], 0.95, np.random.default_rng(0))


@given(st.lists(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=4, max_size=4), min_size=2, max_size=7))
@settings(max_examples=60, deadline=None)
def test_ranks_and_friedman_are_scipys(scores: list[list[float]]) -> None:
    table = np.array(scores)
    found = mean_ranks(table)
    ranks = np.array([scipy_stats.rankdata(-row) for row in table])
    assert found.mean_ranks == pytest.approx(tuple(ranks.mean(axis=0)))
    if all(len(set(row)) == 1 for row in scores):
        assert found.friedman_p is None
        return
    chi2 = scipy_stats.friedmanchisquare(*table.T).statistic
    b, a = table.shape
    if b * (a - 1) - chi2 < 1e-9:
        assert found.friedman_p == 0
    else:
        f = (b - 1) * chi2 / (b * (a - 1) - chi2)  # Iman and Davenport 1980
        assert found.friedman_p == pytest.approx(scipy_stats.f.sf(f, a - 1, (a - 1) * (b - 1)))


def test_two_arms_or_one_block_have_no_friedman_test() -> None:
    assert mean_ranks([[0.9, 0.8], [0.7, 0.9]]).friedman_p is None
    assert mean_ranks([[0.9, 0.8, 0.7]]).mean_ranks == (1, 2, 3)
    with pytest.raises(ValueError, match="must be a table of finite numbers"):
        mean_ranks([[0.9, np.nan]])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
@settings(max_examples=60, deadline=None)
def test_expected_best_is_the_mean_over_all_subsets(scores: list[float]) -> None:
    found = expected_best(scores)
    for budget in range(1, len(scores) + 1):
        subsets = itertools.combinations(scores, budget)
        assert found[budget - 1] == pytest.approx(np.mean([max(subset) for subset in subsets]), abs=1e-12)


def test_expected_best_is_unbiased_and_the_other_form_is_not() -> None:
    """Expected best of 5 uniform trials is 5/6; Dodge's form on 8 trials stays below."""
    x = np.random.default_rng(0).uniform(0, 1, (20_000, 8))
    ours = np.mean([expected_best(row)[4] for row in x])
    share = np.arange(9) / 8
    dodge = (np.sort(x, axis=1) @ (share[1:] ** 5 - share[:-1] ** 5)).mean()
    assert ours == pytest.approx(5 / 6, abs=0.003)
    assert dodge < 5 / 6 - 0.02


def test_equal_budget_is_the_smaller_one() -> None:
    budget, best = equal_budget({"gap": [0.5, 0.9], "fc": [0.7, 0.8, 0.9]})
    assert budget == 2
    assert best == pytest.approx({"gap": 0.9, "fc": (0.8 + 0.9 + 0.9) / 3})
    with pytest.raises(ValueError, match="at least one arm"):
        equal_budget({})


def test_reliability_by_hand() -> None:
    found = reliability([0.5, 0.51, 1.0, 0.99, 0.2], [1, 0, 1, 1, 0], num_bins=2)
    # (0, 0.5]: 0.5 and 0.2; (0.5, 1]: the others
    assert found.counts.tolist() == [2, 3]
    assert found.confidence == pytest.approx([0.35, 2.5 / 3])
    assert found.accuracy == pytest.approx([0.5, 2 / 3])
    assert found.ece == pytest.approx(0.4 * 0.15 + 0.6 * 0.5 / 3)
    with pytest.raises(ValueError, match="one row each"):
        reliability([0.5], [1, 0], num_bins=2)


def test_reliability_is_the_recorded_error() -> None:
    torch = pytest.importorskip("torch")
    from nin_exp.module.evaluate import expected_calibration_error

    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 2, (500, 4)), rng.integers(0, 4, 500)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    theirs = expected_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(labels), num_bins=15)
    assert reliability(probabilities.max(1), probabilities.argmax(1) == labels, 15).ece == pytest.approx(theirs)


def test_confusion_is_sklearns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 5, 200), rng.integers(0, 5, 200)
    ours = confusion(labels, predicted, 6)
    assert (ours == metrics.confusion_matrix(labels, predicted, labels=range(6))).all()
    shares = rates(ours)
    assert shares[:5].sum(axis=1) == pytest.approx(np.ones(5))
    assert np.isnan(shares[5]).all()
    with pytest.raises(ValueError, match=r"classes in \[0, 3\)"):
        confusion([0, 3], [0, 1], 3)
