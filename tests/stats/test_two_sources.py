"""Seeds and test examples, apart and together; McNemar."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nin_exp.stats.mcnemar import mcnemar
from nin_exp.stats.two_sources import correctness, example_bootstrap, two_sources


def table_of(rng: np.random.Generator, seeds: int, examples: int, spread: tuple[float, float, float]) -> np.ndarray:
    """Seed effect + example effect + remainder, each with a known standard deviation."""
    s, e, r = spread
    return rng.normal(0, s, (seeds, 1)) + rng.normal(0, e, (1, examples)) + rng.normal(0, r, (seeds, examples))


def test_by_hand() -> None:
    # 2 seeds, 4 examples: seed means 0.5 and 0, example means 0.5 0.5 0 0, mean 0.25
    found = two_sources([[1, 1, 0, 0], [0, 0, 0, 0]], 0.95, np.random.default_rng(0))
    assert found.mean == 0.25
    # variance of the seed means 0.125, by 2
    assert found.se_seeds == pytest.approx(math.sqrt(0.125 / 2))
    # variance of the example means 1/12, by 4
    assert found.se_examples == pytest.approx(math.sqrt(1 / 12 / 4))
    # squares: total 2 - 8/16 = 1.5, seeds 4 * 0.125 = 0.5, examples 2 * 0.25 = 0.5, rest 0.5 with 3 df
    ms_seed, ms_example, ms_rest = 0.5, 0.5 / 3, 0.5 / 3
    assert found.se_both == pytest.approx(math.sqrt((ms_seed + ms_example - ms_rest) / 8))
    assert found.df == pytest.approx(1)


def test_mean_squares_are_statsmodels() -> None:
    anova = pytest.importorskip("statsmodels.stats.anova")
    api = pytest.importorskip("statsmodels.formula.api")
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(1)
    table = table_of(rng, 5, 12, (0.3, 0.5, 0.4))
    seeds, examples = np.indices(table.shape)
    frame = pandas.DataFrame({"y": table.ravel(), "s": seeds.ravel(), "e": examples.ravel()})
    squares = anova.anova_lm(api.ols("y ~ C(s) + C(e)", frame).fit())["mean_sq"]
    found = two_sources(table, 0.95, rng)
    assert found.se_seeds == pytest.approx(math.sqrt(squares["C(s)"] / 60))
    assert found.se_examples == pytest.approx(math.sqrt(squares["C(e)"] / 60))
    assert found.se_both == pytest.approx(math.sqrt((squares["C(s)"] + squares["C(e)"] - squares["Residual"]) / 60))


def test_interval_over_seeds_is_the_paired_t_interval() -> None:
    table = np.random.default_rng(2).integers(-1, 2, (8, 400))
    found = two_sources(table, 0.95, np.random.default_rng(0))
    theirs = scipy_stats.ttest_1samp(table.mean(axis=1), 0).confidence_interval(0.95)
    assert found.seeds is not None
    assert (found.seeds.low, found.seeds.high) == pytest.approx((theirs.low, theirs.high))


def test_bootstrap_over_examples_is_scipys() -> None:
    x = np.random.default_rng(3).integers(-1, 2, 300) / 1.0
    ours = example_bootstrap(x, 0.9, np.random.default_rng(0))
    theirs = scipy_stats.bootstrap(
        (x,), np.mean, confidence_level=0.9, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_one_seed_has_no_interval() -> None:
    found = two_sources([[1, 0, -1, 1, 0]], 0.95, np.random.default_rng(0))
    assert (found.seeds, found.examples, found.both) == (None,) * 3
    assert (found.se_seeds, found.se_both, found.examples_share) == (None,) * 3
    assert found.mean == pytest.approx(0.2)
    assert found.se_examples == pytest.approx(scipy_stats.sem([1, 0, -1, 1, 0]))


def test_nothing_varies() -> None:
    found = two_sources(np.zeros((3, 10)), 0.95, np.random.default_rng(0))
    assert (found.se_both, found.se_examples, found.examples_share) == (0, 0, None)
    assert found.both is not None
    assert found.both.width == 0


def test_which_source_dominates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nin_exp.stats.two_sources.DRAWS", 2)
    rng = np.random.default_rng(4)
    by_examples = two_sources(table_of(rng, 20, 200, (0.0, 1.0, 0.1)), 0.95, rng)
    by_seeds = two_sources(table_of(rng, 5, 2000, (1.0, 0.1, 0.1)), 0.95, rng)
    assert by_examples.examples_share is not None
    assert by_examples.examples_share > 0.9
    assert by_seeds.examples_share is not None
    assert by_seeds.examples_share < 0.1


@pytest.mark.parametrize("shape", [(3,), (0, 5), (3, 1)])
def test_not_a_table(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be of shape \(seeds, examples\), at least \(1, 2\)"):
        two_sources(np.zeros(shape), 0.95, np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("spread", [(0.1, 1.0, 1.0), (0.3, 0.5, 0.5), (0.02, 1.0, 2.0)])
def test_coverage_over_new_seeds_and_new_examples(
    spread: tuple[float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 2,000 studies, 92-98 % of the joint intervals hold the truth; those over seeds alone may not."""
    monkeypatch.setattr("nin_exp.stats.two_sources.DRAWS", 2)  # the bootstrap is not what is tested here
    rng = np.random.default_rng(5)
    both = seeds_only = 0
    for _ in range(2000):
        found = two_sources(table_of(rng, 8, 150, spread), 0.95, rng)
        assert found.both is not None
        assert found.seeds is not None
        both += found.both.low <= 0 <= found.both.high
        seeds_only += found.seeds.low <= 0 <= found.seeds.high
    assert 0.92 <= both / 2000 <= 0.98
    if spread == (0.1, 1.0, 1.0):
        assert seeds_only / 2000 < 0.85


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (5, 0), (3, 9), (40, 22), (7, 7)])
def test_mcnemar_is_statsmodels_and_scipys(only_a: int, only_b: int) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    a = np.array([1] * only_a + [0] * only_b + [1] * 10 + [0] * 4)
    b = np.array([0] * only_a + [1] * only_b + [1] * 10 + [0] * 4)
    found = mcnemar(a, b)
    assert (found.only_arm, found.only_baseline) == (only_a, only_b)
    theirs = tables.mcnemar([[10, only_a], [only_b, 4]], exact=True).pvalue if only_a + only_b else 1.0
    assert found.p == pytest.approx(theirs)
    if only_a + only_b:
        assert found.p == pytest.approx(scipy_stats.binomtest(only_a, only_a + only_b).pvalue)


def test_mcnemar_wants_the_same_examples() -> None:
    with pytest.raises(ValueError, match=r"same examples, got shapes \(2,\) and \(3,\)"):
        mcnemar([1, 0], [1, 0, 1])


def test_correctness() -> None:
    assert correctness([[1, 2], [0, 2]], [1, 2]).tolist() == [[1, 1], [0, 1]]
