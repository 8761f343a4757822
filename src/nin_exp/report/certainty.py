"""How far a study's verdicts carry, and what would make them surer."""

from __future__ import annotations

from collections.abc import Sequence

from nin_exp.records.study import Comparison
from nin_exp.report.contrasts import Contrast
from nin_exp.report.metric import p_value, percent
from nin_exp.report.sentences import is_lower_limit
from nin_exp.stats.paired import PairedEffect
from nin_exp.stats.planning import MAX_FURTHER_PAIRS, pairs_for_exact_test, smallest_p

PAIRING_MATTERS = 0.05
"""Relative change of the intervals' width under which sharing seeds did neither good nor harm."""


def how_sure(contrasts: Sequence[Contrast], comparison: Comparison) -> list[str]:
    """Say in a sentence each how far the verdicts carry, and what would make them surer."""
    effects = [c.outcome.effect for c in contrasts if c.outcome.effect is not None]
    if not effects:
        return ["No pair of runs is complete yet: the report fills as runs finish."]
    lines = [_scope(effects, comparison), _monitoring(contrasts, comparison), exact_reach(contrasts, comparison)]
    lines += [_surer(contrasts, comparison), _pairing(effects)]
    return [line for line in lines if line]


def exact_reach(contrasts: Sequence[Contrast], comparison: Comparison) -> str:
    """What the exact test cannot show with the pairs there are; empty when it can reach alpha everywhere."""
    effects = [c.outcome.effect for c in contrasts if c.outcome.effect is not None and c.outcome.test is not None]
    if not effects:
        return ""
    least, n_contrasts = min(effect.n for effect in effects), effects[0].n_contrasts
    reach = smallest_p(least, n_contrasts)
    if reach <= comparison.alpha:
        return ""
    adjusted = f", adjusted for {n_contrasts} contrasts," if n_contrasts > 1 else ""
    wanted = pairs_for_exact_test(n_contrasts, comparison.alpha)
    is_even = least == max(effect.n for effect in effects)
    pairs = f"{least} pair{_s(least)}"
    start = f"With {pairs}" if is_even else f"Where only {pairs} {'is' if least == 1 else 'are'} complete,"
    leaning = " Until then a verdict leans on normally distributed differences." if least > 1 else ""
    return (
        f"{start} the exact test{adjusted} cannot go below p = {p_value(reach)}; "
        f"it takes {wanted} pairs to reach {comparison.alpha:g}.{leaning}"
    )


def _scope(effects: Sequence[PairedEffect], comparison: Comparison) -> str:
    counts = [effect.n for effect in effects]
    if max(counts) < 2:
        return "One pair of runs a contrast gives no interval, and so no verdict."
    pairs = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    n_contrasts = effects[0].n_contrasts
    confidence = percent(1 - comparison.alpha)
    if n_contrasts == 1:
        return (
            f"The interval rests on {pairs} paired seeds. Its {confidence} confidence is about new seeds, "
            "on the same test examples."
        )
    return (
        f"Each interval rests on {pairs} paired seeds. With {confidence} confidence all {n_contrasts} hold together, "
        "for new seeds on the same test examples."
    )


def _monitoring(contrasts: Sequence[Contrast], comparison: Comparison) -> str:
    """What stands in for the numbers of a fixed design; empty where no contrast was monitored."""
    monitored = [c.outcome.monitored for c in contrasts if c.outcome.monitored is not None]
    if not monitored:
        return ""
    most = max(one.max_pairs for one in monitored)
    return (
        f"Seeds were added until each verdict, up to {most} pairs. The intervals hold at all looks together, so "
        f"stopping when it was decided does not raise the error above {comparison.alpha:g}. Ordinary intervals and "
        "p-values would be too optimistic, and are left out."
    )


def _surer(contrasts: Sequence[Contrast], comparison: Comparison) -> str:
    undecided = [c.outcome for c in contrasts if c.outcome.verdict.further is not None]
    further = [(outcome, outcome.verdict.further) for outcome in undecided]
    in_reach = [(outcome, more.pairs) for outcome, more in further if more is not None and not more.is_bound]
    if not undecided:
        return ""
    if not in_reach:
        most = f"more than {MAX_FURTHER_PAIRS} further seeds"
        return f"For its spread, what is undecided has its mean too near the edge of the region: it would take {most}."
    total = len(comparison.seeds) + max(pairs for _, pairs in in_reach)
    counts_from_zero = comparison.seeds == tuple(range(len(comparison.seeds)))
    how = f" The same command with seeds={total} runs only the new ones." if counts_from_zero else ""
    if any(is_lower_limit(outcome) for outcome, _ in in_reach):
        return f"At least {total} seeds in all are needed.{how}"
    is_all = len(in_reach) == len(undecided)
    target = "what is undecided" if is_all else f"{len(in_reach)} of the {len(undecided)} undecided contrasts"
    return f"About {total} seeds in all would probably decide {target}.{how}"


def _pairing(effects: Sequence[PairedEffect]) -> str:
    ratios = sorted(effect.width_ratio for effect in effects if effect.width_ratio is not None)
    if not ratios:
        return ""
    middle = ratios[len(ratios) // 2]
    if abs(middle - 1) <= PAIRING_MATTERS:
        return "Sharing seeds between the arms made the intervals neither narrower nor wider."
    change = f"{percent(round(abs(middle - 1), 2))} {'narrower' if middle < 1 else 'wider'}"
    return f"Sharing seeds between the arms made the intervals {change} than unpaired seeds would have."


def _s(number: int) -> str:
    return "" if number == 1 else "s"
