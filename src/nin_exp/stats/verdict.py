"""From a paired interval to a decision, against a region of practical equivalence (Benavoli et al. 2017).

The interval is the paired t interval, widened over the contrasts of the study. The exact test stands beside
the verdict and does not make it: what it cannot show with few pairs is a note.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nin_exp.stats.paired import PairedEffect
from nin_exp.stats.planning import FurtherPairs, further_pairs, pairs_for_exact_test, smallest_p

Label = Literal["better", "worse", "same", "undecided", "none"]
Note = Literal["no_pairs", "one_pair", "few_pairs", "identical", "no_spread", "arm_at_chance", "baseline_at_chance"]
FEW_PAIRS = 6


@dataclass(frozen=True)
class Verdict:
    """A decision about an arm against the baseline.

    Args:
        label: ``none`` where there is nothing to decide from; ``notes`` say why.
        further: how many more pairs would probably decide; for ``undecided`` only, None where unknown.
        notes: ``few_pairs``: under 6, the exact test cannot reach 0.05; ``identical``: every pair agrees
            exactly; ``no_spread``: every difference is the same, so the interval has no width.
    """

    label: Label
    further: FurtherPairs | None = None
    notes: tuple[Note, ...] = ()


def judge(effect: PairedEffect | None, rope: float, alpha: float, at_chance: tuple[Note, ...] = ()) -> Verdict:
    """Decide between better, worse, same and undecided.

    Args:
        effect: None where no pair is complete.
        rope: half width of the region of practical equivalence, at least 0, in the unit of the scores.
        alpha: error of all contrasts' intervals together, as the effect was computed with.
        at_chance: which arm has learnt nothing; nothing is decided then.
    """
    if effect is None:
        return Verdict("none", notes=(*at_chance, "no_pairs"))
    if at_chance:
        return Verdict("none", notes=at_chance)
    if effect.sd is None or effect.widened is None:
        wanted = pairs_for_exact_test(effect.n_contrasts, alpha)
        return Verdict("undecided", FurtherPairs(wanted - 1, is_bound=False), notes=("one_pair", "few_pairs"))
    few: tuple[Note, ...] = ("few_pairs",) if effect.n < FEW_PAIRS else ()
    if effect.sd == 0:
        return _judge_without_spread(effect, rope, alpha, few)
    label = place(effect.widened.low, effect.widened.high, rope)
    if label != "undecided":
        return Verdict(label, notes=few)
    further = further_pairs(effect.n, effect.mean, effect.sd, rope, alpha / effect.n_contrasts)
    return Verdict(label, further, few)


def _judge_without_spread(effect: PairedEffect, rope: float, alpha: float, few: tuple[Note, ...]) -> Verdict:
    """Every difference is equal: the interval claims to be certain, which so few values may be by accident.

    On a small test split a few pairs often agree exactly. The interval is believed once the exact test could reach
    alpha.
    """
    notes: tuple[Note, ...] = ("identical" if effect.mean == 0 else "no_spread", *few)
    if smallest_p(effect.n, effect.n_contrasts) <= alpha:
        return Verdict(place(effect.mean, effect.mean, rope), notes=notes)
    wanted = pairs_for_exact_test(effect.n_contrasts, alpha)
    return Verdict("undecided", FurtherPairs(wanted - effect.n, is_bound=False), notes=notes)


def place(low: float, high: float, rope: float) -> Label:
    """The verdict of an interval against the region of practical equivalence [-rope, rope]."""
    if low > rope:
        return "better"
    if high < -rope:
        return "worse"
    # An interval that touches the region's edge lies inside it: the region is closed.
    return "same" if low >= -rope and high <= rope else "undecided"
