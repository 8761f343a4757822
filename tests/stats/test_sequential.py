"""The sequential boundary: its error under peeking, and what it saves."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nin_exp.stats import sequential
from nin_exp.stats.sequential import Decision, boundary, decide, nominal_level, spending

ALPHA = 0.05
PATHS = 20_000
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

NOISES: dict[str, Draw] = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "laplace": lambda rng, size: rng.laplace(size=size),
    # Accuracies are counts: differences of two binomials over 1,000 examples.
    "counts": lambda rng, size: (rng.binomial(1000, 0.9, size) - rng.binomial(1000, 0.9, size)) / 1000,
}


def first_crossing(x: np.ndarray, looks: tuple[int, ...], max_pairs: int, alpha: float) -> np.ndarray:
    """The look at which each path's interval leaves 0 out (its number of pairs), 0 for never."""
    stopped = np.zeros(len(x), dtype=int)
    for look in boundary(looks, max_pairs, alpha=alpha):
        part = x[:, : look.n_pairs]
        # numpy's own mean and deviation, not the running sums of the code under test
        se = part.std(axis=1, ddof=1) / math.sqrt(look.n_pairs) if look.n_pairs > 1 else None
        if not math.isinf(look.critical):
            stopped[(np.abs(part.mean(axis=1)) > look.critical * se) & (stopped == 0)] = look.n_pairs
    return stopped


def test_a_single_look_at_the_end_is_the_t_test() -> None:
    (look,) = boundary([12], 12, alpha=ALPHA)
    assert look.critical == pytest.approx(scipy_stats.t.ppf(0.975, 11), rel=0.02)
    assert nominal_level(look) == pytest.approx(0.05, rel=0.05)
    assert look.spent == pytest.approx(0.05, abs=1e-5)


def test_first_look_spends_by_the_function() -> None:
    looks = boundary([8, 16, 20], 20, alpha=ALPHA)
    assert [look.spent for look in looks] == pytest.approx([0.05 * (n / 20) ** 2 for n in (8, 16, 20)], abs=1e-5)
    assert nominal_level(looks[0]) == pytest.approx(0.008, rel=0.08)
    # O'Brien and Fleming's shape: later looks are less strict than earlier ones, stricter than a single test
    levels = [nominal_level(look) for look in looks]
    assert levels == sorted(levels)
    assert levels[-1] < ALPHA


def test_two_looks_against_the_bivariate_normal() -> None:
    """With many pairs t is normal: the second level solves P(no crossing at 1, crossing at 2) = what is left."""
    first, second = boundary([150, 300], 300, alpha=ALPHA)
    corners = scipy_stats.multivariate_normal([0, 0], [[1, math.sqrt(0.5)], [math.sqrt(0.5), 1]])
    a, b = first.critical, second.critical
    inside = corners.cdf([a, b]) - corners.cdf([-a, b]) - corners.cdf([a, -b]) + corners.cdf([-a, -b])
    assert 1 - inside == pytest.approx(ALPHA, abs=0.002)


def test_no_error_is_spent_before_the_first_look() -> None:
    looks = boundary([2, 5, 6], 20, alpha=ALPHA)
    assert [look.critical for look in looks[:2]] == [math.inf, math.inf]
    assert looks[2] == boundary([6], 20, alpha=ALPHA)[0]
    assert nominal_level(looks[0]) == 0
    decision = decide([1.0, 1.001, 0.999], [], 20, alpha=ALPHA, rope=0.0)
    assert (decision.label, decision.is_final, decision.interval) == ("undecided", False, None)
    assert spending(4, 4, ALPHA) == ALPHA  # a plan of fewer pairs is judged at its end


def test_a_boundary_does_not_depend_on_looks_to_come() -> None:
    assert boundary([6, 9, 15], 20, alpha=ALPHA)[:2] == boundary([6, 9], 20, alpha=ALPHA)


def test_verdicts() -> None:
    rng = np.random.default_rng(0)
    cases = {"better": 0.02, "worse": -0.02, "same": 0.0}
    for label, mean in cases.items():
        decision = decide(rng.normal(mean, 0.001, 10), [6, 8], 20, alpha=ALPHA, rope=0.005)
        assert (decision.label, decision.is_final) == (label, True)
        assert decision.interval is not None
        assert decision.interval.confidence == 0.95
    around_the_edge = np.tile([-0.005, 0.015], 10)
    undecided = decide(around_the_edge, [6, 8], 20, alpha=ALPHA, rope=0.005)
    assert (undecided.label, undecided.is_final) == ("undecided", True)
    assert not decide(around_the_edge[:19], [6, 8], 20, alpha=ALPHA, rope=0.005).is_final


def test_interval_by_hand() -> None:
    x = np.array([1.0, 2, 3, 4, 5, 6])
    decision = decide(x, [], 6, alpha=ALPHA, rope=0.0)
    half = decision.look.critical * scipy_stats.sem(x)
    assert decision.interval is not None
    assert (decision.interval.low, decision.interval.high) == pytest.approx((3.5 - half, 3.5 + half))


def test_equal_differences_are_believed_once_an_exact_test_could() -> None:
    """2 / 2^8 = 0.0078 is the first below what may be spent, 0.05 (8 / 20)^2 = 0.008."""
    for value, label in ((0.0, "same"), (0.93 - 0.92, "better"), (-0.01, "worse")):
        assert decide([value] * 7, [6], 20, alpha=ALPHA, rope=0.002).label == "undecided"
        assert decide([value] * 8, [6, 7], 20, alpha=ALPHA, rope=0.002).label == label
    assert decide([0.01] * 6, [], 6, alpha=ALPHA, rope=0.002).label == "better"
    assert decide([0.01] * 6, [], 6, alpha=ALPHA / 2, rope=0.002).label == "undecided"
    assert decide([0.01], [], 1, alpha=ALPHA, rope=0.002).is_final


@pytest.mark.parametrize("looks", [[], [0, 6], [6, 6], [8, 6], [6, 21]])
def test_looks_must_rise(looks: list[int]) -> None:
    with pytest.raises(ValueError, match=r"looks must rise from 1 or more to max_pairs \(20\)"):
        boundary(looks, 20, alpha=ALPHA)
    with pytest.raises(ValueError, match="looks must rise"):
        decide([0.1] * 6, [6], 20, alpha=ALPHA, rope=0)
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 0.5\], got 0"):
        boundary([6], 20, alpha=0)


def test_decide_stops_where_the_boundary_says() -> None:
    """The function a plan calls, pair by pair, against the paths the simulation below uses."""
    x = np.random.default_rng(5).normal(0.9, 1, (12, 12))
    expected = first_crossing(x, tuple(range(2, 13)), 12, ALPHA)
    for path, stop in zip(x, expected, strict=True):
        decision: Decision | None = None
        for n in range(2, 13):
            decision = decide(path[:n], range(2, n), 12, alpha=ALPHA, rope=0.0)
            if decision.is_final:
                break
        assert decision is not None
        assert (decision.look.n_pairs if decision.label != "undecided" else 0) == stop


@pytest.mark.slow
@pytest.mark.parametrize("max_pairs", [10, 20])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_type_one_error_when_every_pair_is_looked_at(max_pairs: int, noise: str, alpha: float) -> None:
    x = NOISES[noise](np.random.default_rng(max_pairs), (PATHS, max_pairs))
    rejected = (first_crossing(x, tuple(range(2, max_pairs + 1)), max_pairs, alpha) > 0).mean()
    assert rejected <= alpha + 2 * math.sqrt(alpha * (1 - alpha) / PATHS)
    if noise == "normal":  # nor is error left over
        assert rejected >= alpha - 3 * math.sqrt(alpha * (1 - alpha) / PATHS)


@pytest.mark.slow
def test_short_tails_cost_something() -> None:
    """What the t test itself cannot do with six uniform differences: the price is known, and written down."""
    x = np.random.default_rng(0).uniform(-1, 1, (PATHS, 20))
    assert ALPHA < (first_crossing(x, tuple(range(6, 21)), 20, ALPHA) > 0).mean() < 1.5 * ALPHA


@pytest.mark.slow
def test_plain_t_tests_at_every_look_do_not_hold_the_error() -> None:
    """What the boundary is for; shows that the simulation above can fail."""
    x = np.random.default_rng(1).standard_normal((PATHS, 20))
    rejected = np.zeros(PATHS, dtype=bool)
    for n in range(6, 21):
        rejected |= scipy_stats.ttest_1samp(x[:, :n], 0, axis=1).pvalue < ALPHA
    assert rejected.mean() > 0.12


@pytest.mark.slow
def test_looks_that_follow_the_data_raise_the_error_little() -> None:
    """Someone looks again sooner when the last look was close: not quite allowed, and not far off."""
    x = np.random.default_rng(3).standard_normal((PATHS, 16))
    is_close = np.abs(scipy_stats.ttest_1samp(x[:, :6], 0, axis=1).statistic) > 1.5
    often, rarely = (6, *range(7, 17)), (6, 10, 16)
    stopped = np.where(is_close, first_crossing(x, often, 16, ALPHA), first_crossing(x, rarely, 16, ALPHA))
    assert (stopped > 0).mean() <= 1.15 * ALPHA


@pytest.mark.slow
def test_family_of_contrasts_holds_its_error() -> None:
    """Three arms against one baseline, each contrast at alpha / 3, every pair looked at."""
    rng = np.random.default_rng(8)
    baseline = rng.standard_normal((PATHS, 15))
    rejected = np.zeros(PATHS, dtype=bool)
    for _ in range(3):
        rejected |= first_crossing(rng.standard_normal((PATHS, 15)) - baseline, tuple(range(6, 16)), 15, ALPHA / 3) > 0
    assert rejected.mean() <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / PATHS)


@pytest.mark.slow
def test_intervals_of_all_looks_hold_the_truth_together() -> None:
    """Also with a region of equivalence: a wrong verdict needs an interval that misses the truth."""
    x = np.random.default_rng(4).normal(0.7, 1, (PATHS, 20)) - 0.7
    missed = (first_crossing(x, tuple(range(6, 21)), 20, ALPHA) > 0).mean()
    assert missed <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / PATHS)


@pytest.mark.slow
@pytest.mark.parametrize(("effect", "most", "power"), [(1.0, 12.0, 0.96), (1.5, 8.8, 0.995), (2.5, 6.6, 0.999)])
def test_seeds_saved(effect: float, most: float, power: float) -> None:
    """Mean pairs until the decision, of a plan of at most 20; effects are means by standard deviation."""
    x = np.random.default_rng(6).normal(effect, 1, (PATHS, 20))
    stopped = first_crossing(x, tuple(range(6, 21)), 20, ALPHA)
    assert np.where(stopped > 0, stopped, 20).mean() <= most
    assert (stopped > 0).mean() >= power


def test_simulation_is_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    first = boundary([6, 10], 20, alpha=0.03)
    sequential._boundary.cache_clear()
    assert boundary([6, 10], 20, alpha=0.03) == first
