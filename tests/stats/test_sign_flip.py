import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from nin_exp.stats.sign_flip import MONTE_CARLO_DRAWS, sign_flip_test, smallest_two_sided


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_by_hand() -> None:
    # |±1 ±2 ±3| >= 6: 2 of 8 patterns. With -1: |sum| 4 is reached by ±6 and ±4, 4 of 8.
    assert sign_flip_test([1, 2, 3], rng()).p == 2 / 8
    assert sign_flip_test([-1, 2, 3], rng()).p == 4 / 8
    assert sign_flip_test([1.0], rng()).p == 1


def test_eight_pairs_on_one_side_reach_the_smallest_p() -> None:
    test = sign_flip_test(-np.linspace(0.01, 0.02, 8), rng())
    assert test.p == test.smallest_p == 2 / 2**8
    assert test.is_exact


@given(st.lists(st.integers(-40, 40), min_size=1, max_size=9))
@settings(max_examples=80, deadline=None)
def test_integers_by_enumeration(hits: list[int]) -> None:
    """Accuracies over 10,000 images, with ties and zeros; the oracle counts whole images."""
    sums = [
        sum(s * h for s, h in zip(signs, hits, strict=True)) for signs in itertools.product((1, -1), repeat=len(hits))
    ]
    expected = sum(abs(s) >= abs(sum(hits)) for s in sums) / len(sums)
    arm = 0.9 + np.array(hits) / 10_000
    assert sign_flip_test(np.round(arm - 0.9, 12), rng()).p == expected
    assert sign_flip_test(np.array(hits) / 10_000, rng()).p == expected


def test_scipy_agrees() -> None:
    x = np.random.default_rng(4).normal(0.4, 1, 12)
    theirs = scipy_stats.permutation_test((x,), np.sum, permutation_type="samples", n_resamples=10_000)
    assert sign_flip_test(x, rng()).p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_zeros_and_nothing_but_zeros() -> None:
    assert sign_flip_test([0, 0, 1, 2, 3], rng()).p == sign_flip_test([1, 2, 3], rng()).p
    alone = sign_flip_test([0, 0, 0], rng())
    assert (alone.p, alone.smallest_p) == (1, 1)


def test_ties_that_rounding_breaks_still_count() -> None:
    # 0.1 + 0.2 - 0.3 and 0 differ by 5e-17: without tolerance the observed pattern would not tie
    assert sign_flip_test([0.1, 0.2, -0.3], rng()).p == 1


def test_monte_carlo_says_so_and_comes_near() -> None:
    x = np.random.default_rng(11).normal(0.35, 1, 30)
    test = sign_flip_test(x, rng())
    assert (test.is_exact, test.draws) == (False, MONTE_CARLO_DRAWS)
    wilcoxon_like = scipy_stats.ttest_1samp(x, 0).pvalue  # large n: the permutation test nears the t test
    assert test.p == pytest.approx(wilcoxon_like, abs=0.01)
    assert test == sign_flip_test(x, rng())


def test_monte_carlo_never_gives_zero() -> None:
    test = sign_flip_test(np.full(40, 0.01), rng())
    assert test.p == test.smallest_p == 1 / (MONTE_CARLO_DRAWS + 1)


def test_twenty_pairs_are_exact() -> None:
    assert sign_flip_test(np.full(20, 0.01), rng()).p == 2 / 2**20


def test_smallest() -> None:
    assert [smallest_two_sided(n) for n in (0, 1, 5, 6)] == [1, 1, 0.0625, 0.03125]


@pytest.mark.slow
def test_level_under_the_null() -> None:
    generator = np.random.default_rng(8)
    p = [sign_flip_test(generator.normal(0, 1, 8), generator).p for _ in range(4000)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(12 / 256, abs=0.01)  # 12/256 is the largest size <= 0.05
