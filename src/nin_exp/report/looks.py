"""Take a look at contrasts that get seeds until they are decided: note which pairs were seen, then judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from nin_exp.records.study import Comparison, ContrastLooks
from nin_exp.report.collect import Run
from nin_exp.report.contrasts import Contrast, find_contrasts

Place = tuple[str, str]
"""Arm and block."""


def contrasts_of(comparison: Comparison, runs: Iterable[Run]) -> dict[Place, Contrast]:
    """The contrasts as the looks so far show them."""
    by_place = {(run.job.arm, run.job.block, run.job.seed): run for run in runs}
    return {(c.arm, c.block): c for c in find_contrasts(comparison, by_place)}


def look_again(
    comparison: Comparison, contrasts: Mapping[Place, Contrast], blocks: Iterable[str]
) -> dict[Place, ContrastLooks]:
    """The looks that are taken now: one a contrast of the blocks that is not decided and has new complete pairs.

    A contrast that is decided is not looked at again, whatever else its block gets.
    """
    wanted, found = set(blocks), {}
    for place, contrast in contrasts.items():
        looks = comparison.looks_at(*place)
        if looks is None or contrast.block not in wanted or contrast.outcome.is_final:
            continue
        seen = {pair.seed for pair in contrast.complete}  # a run that was looked at may have been taken away since
        later = [pair.seed for pair in contrast.pairs if pair.state == "later"]
        seeds = (*(seed for seed in looks.seeds if seed in seen), *later)
        if later and len(seeds) > (looks.counts[-1] if looks.counts else 0):
            found[place] = replace(looks, seeds=seeds, counts=(*looks.counts, len(seeds)))
    return found
