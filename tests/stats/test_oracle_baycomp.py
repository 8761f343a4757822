"""Verdicts beside the Bayesian comparison whose region of practical equivalence they borrow (Benavoli et al. 2017).

baycomp is no dependency of the tests: the probabilities were computed once with baycomp 1.0.3,
``baycomp.two_on_single(zeros, differences, rope=0.002)``, whose posterior of a mean difference is Student's t. For
overlapping training sets it widens the standard error, sqrt(1/n + 1/(n - 1)) in the place of sqrt(1/n); with that scale
our interval must leave out a side of the region where the posterior puts less than 2.5 % there.
"""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nin_exp.stats.intervals import standard_deviation, t_interval
from nin_exp.stats.verdict import place

ROPE = 0.002
CASES = [
    (
        [0.004, 0.006, 0.005, 0.009, 0.003, 0.007, 0.006, 0.004],
        (6.755267057169655e-05, 0.00486902444531867, 0.9950634228841096),
        "better",
    ),
    (
        [0.001, -0.0005, 0.0, 0.0006, -0.001, 0.0008, 0.0002, -0.0004],
        (0.00033278486671891287, 0.9991122137602632, 0.0005550013730178938),
        "same",
    ),
    (
        [-0.02, -0.015, -0.03, -0.018, -0.022, -0.024],
        (0.9991951860675524, 0.000462238570160145, 0.0003425753622874339),
        "worse",
    ),
    (
        [0.004, -0.003, 0.006, 0.001, -0.002, 0.005, 0.003],
        (0.04162584766008831, 0.45837415233991174, 0.4999999999999999),
        "undecided",
    ),
    (
        [0.005, 0.0025, 0.0035, 0.006, 0.0028, 0.0044],
        (0.0003571680563235693, 0.027223963784492655, 0.9724188681591838),
        "undecided",  # 97.2 % is just not enough
    ),
]


@pytest.mark.parametrize(("differences", "probabilities", "label"), CASES)
def test_a_verdict_is_a_posterior_of_more_than_975_in_1000(
    differences: list[float], probabilities: tuple[float, float, float], label: str
) -> None:
    n, mean, sd = len(differences), float(np.mean(differences)), standard_deviation(differences)
    assert sd is not None
    widened = sd * math.sqrt(1 + n / (n - 1))  # t_interval divides by sqrt(n)
    interval = t_interval(mean, widened, n, 0.95)
    worse, same, better = probabilities
    assert place(interval.low, interval.high, ROPE) == label
    expected = "better" if better > 0.975 else "worse" if worse > 0.975 else "undecided"
    assert (label if label != "same" else "undecided") == expected
    assert (label == "same") == (better < 0.025 and worse < 0.025)
    # and the probabilities are those of the t distribution with this scale
    se = widened / math.sqrt(n)
    assert scipy_stats.t.sf((ROPE - mean) / se, n - 1) == pytest.approx(better, rel=1e-6)
    assert scipy_stats.t.cdf((-ROPE - mean) / se, n - 1) == pytest.approx(worse, rel=1e-6)
    assert same == pytest.approx(1 - better - worse)
