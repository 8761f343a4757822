import numpy as np
import pytest
from scipy import stats as scipy_stats

from nin_exp.stats.chance import chance_ceiling, is_above_chance
from nin_exp.stats.paired import PairedEffect, paired_effect
from nin_exp.stats.verdict import Verdict, judge

SPREAD = np.array([-1.5, -1, -0.5, -0.2, 0.2, 0.5, 1, 1.5]) * 1e-3  # mean 0, sd 0.98e-3: half width 0.82e-3


def effect(mean: float, spread: np.ndarray = SPREAD, n_contrasts: int = 1) -> PairedEffect:
    baseline = np.linspace(0.90, 0.93, spread.size)
    return paired_effect(baseline + mean + spread, baseline, alpha=0.05, n_contrasts=n_contrasts)


@pytest.mark.parametrize(
    ("mean", "label"),
    [
        (0.004, "better"),
        (-0.004, "worse"),
        (0.0, "same"),
        (0.001, "same"),
        (-0.001, "same"),
        (0.002, "undecided"),
        (0.0025, "undecided"),
    ],
)
def test_place_against_the_region(mean: float, label: str) -> None:
    verdict = judge(effect(mean), 0.002, 0.05)
    assert verdict.label == label
    assert (verdict.further is not None) == (label == "undecided")
    assert verdict.notes == ()


def test_widening_can_take_a_verdict_away() -> None:
    assert judge(effect(0.003), 0.002, 0.05).label == "better"
    wide = judge(effect(0.003, n_contrasts=20), 0.002, 0.05)
    assert wide.label == "undecided"
    assert wide.further is not None
    assert not wide.further.is_bound


def test_one_pair_decides_nothing() -> None:
    verdict = judge(effect(0.3, np.zeros(1)), 0.002, 0.05)
    assert (verdict.label, verdict.notes) == ("undecided", ("one_pair", "few_pairs"))
    assert verdict.further is not None
    assert verdict.further.pairs == 5  # six pairs in all: 2 / 2^6 < 0.05


def test_few_pairs_decide_with_a_note() -> None:
    verdict = judge(effect(0.1, SPREAD[:4]), 0.002, 0.05)
    assert (verdict.label, verdict.notes) == ("better", ("few_pairs",))


def test_a_few_identical_results_are_no_proof() -> None:
    """With 20 test images two arms that differ agree exactly in two pairs, often enough."""
    verdict = judge(effect(0.0, np.zeros(2)), 0.002, 0.05)
    assert (verdict.label, verdict.notes) == ("undecided", ("identical", "few_pairs"))
    assert verdict.further is not None
    assert verdict.further.pairs == 4
    assert judge(effect(0.0, np.zeros(6)), 0.002, 0.05).label == "same"
    assert judge(effect(0.0, np.zeros(6), n_contrasts=2), 0.002, 0.05).label == "undecided"


def test_identical_results() -> None:
    verdict = judge(effect(0.0, np.zeros(8)), 0.002, 0.05)
    assert (verdict.label, verdict.notes) == ("same", ("identical",))


@pytest.mark.parametrize(("n", "label", "further"), [(2, "undecided", 4), (5, "undecided", 1), (6, "better", None)])
def test_one_difference_in_every_pair(n: int, label: str, further: int | None) -> None:
    """The interval has no width; that is believed only once the exact test could reach alpha."""
    verdict = judge(effect(0.05, np.zeros(n)), 0.002, 0.05)
    assert verdict.label == label
    assert "no_spread" in verdict.notes
    assert (verdict.further.pairs if verdict.further else None) == further


def test_nothing_to_judge() -> None:
    assert judge(None, 0.002, 0.05) == Verdict("none", notes=("no_pairs",))
    at_chance = judge(effect(0.3), 0.002, 0.05, at_chance=("baseline_at_chance",))
    assert at_chance == Verdict("none", notes=("baseline_at_chance",))


@pytest.mark.parametrize(("chance", "n"), [(0.1, 10_000), (0.1135, 10_000), (0.196, 500), (0.01, 10_000), (0.5, 20)])
def test_chance_ceiling_is_the_binomial_quantile(chance: float, n: int) -> None:
    assert chance_ceiling(chance, n) == pytest.approx(scipy_stats.binom.ppf(0.999, n, chance) / n)


def test_chance() -> None:
    assert chance_ceiling(0.1, None) == 0.1
    assert chance_ceiling(1.0, 50) == 1.0
    assert not is_above_chance([0.1] * 8, 0.1, 10_000)
    assert not is_above_chance([0.105] * 8, 0.1, 10_000)
    assert is_above_chance([0.12] * 8, 0.1, 10_000)
    assert is_above_chance([0.1, 0.6], 0.1, 10_000)  # one dead seed of two: the arm has learnt
    with pytest.raises(ValueError, match=r"chance must lie in \[0, 1\]"):
        chance_ceiling(1.5, 10)


@pytest.mark.slow
def test_false_verdicts_stay_under_alpha() -> None:
    """On the edge of the region neither "better" nor "same" is true more often than alpha / 2 each says."""
    rng = np.random.default_rng(0)
    labels = [judge(effect(0.002, rng.normal(0, 1e-3, 8)), 0.002, 0.05).label for _ in range(2000)]
    assert labels.count("better") / 2000 <= 0.035
    assert labels.count("same") / 2000 <= 0.035
