"""Which arm is best in a block, whether that is supported, and all pairs against all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from nin_exp.report.arms import Cell
from nin_exp.report.contrasts import Contrast
from nin_exp.stats.paired import PairedEffect, paired_effect


@dataclass(frozen=True)
class Best:
    """The arm with the highest mean of a block; ``is_supported``: it is above every other arm's interval."""

    arm: str
    block: str
    is_supported: bool


@dataclass(frozen=True)
class PairOfArms:
    """Two arms in one block, over the seeds that both have; describes, decides nothing."""

    arm: str
    other: str
    block: str
    effect: PairedEffect


def find_best(cells: Iterable[Cell], contrasts: Iterable[Contrast], rope: float, baseline: str) -> tuple[Best, ...]:
    """Find the best arm of each block.

    It is supported when its widened interval against the baseline lies above those of all other arms: they
    hold together, so then it is better than each. The baseline's own interval is the region of equivalence,
    which makes this the verdict itself where there are two arms.
    """
    by_block: dict[str, list[Cell]] = {}
    for cell in cells:
        by_block.setdefault(cell.block, []).append(cell)
    found = {(contrast.arm, contrast.block): contrast for contrast in contrasts}
    best = []
    for block, block_cells in by_block.items():
        scored = [(cell.summary.mean, cell.arm) for cell in block_cells if cell.summary is not None]
        if len(scored) < 2:
            continue
        arm = max(scored, key=lambda pair: pair[0])[1]
        ranges = {cell.arm: _range(found.get((cell.arm, block)), rope, cell.arm == baseline) for cell in block_cells}
        best.append(Best(arm, block, _is_above_all(arm, ranges)))
    return tuple(best)


def _range(contrast: Contrast | None, rope: float, is_baseline: bool) -> tuple[float, float] | None:
    """Range of an arm's difference to the baseline; None where no interval is believed."""
    if is_baseline:
        return -rope, rope
    effect = None if contrast is None else contrast.outcome.effect
    if contrast is None or effect is None or effect.widened is None:
        return None
    verdict = contrast.outcome.verdict
    has_spread = not {"no_spread", "identical"} & set(verdict.notes)
    is_believed = verdict.label != "none" and (has_spread or verdict.label != "undecided")
    return (effect.widened.low, effect.widened.high) if is_believed else None


def _is_above_all(arm: str, ranges: dict[str, tuple[float, float] | None]) -> bool:
    own = ranges[arm]
    others = [extent for name, extent in ranges.items() if name != arm]
    return own is not None and all(extent is not None and own[0] > extent[1] for extent in others)


def compare_all(cells: Sequence[Cell], alpha: float) -> tuple[PairOfArms, ...]:
    """Every arm against every other in each block, with intervals that are not widened."""
    by_block: dict[str, list[Cell]] = {}
    for cell in cells:
        by_block.setdefault(cell.block, []).append(cell)
    pairs = []
    for first, second in (two for block_cells in by_block.values() for two in combinations(block_cells, 2)):
        shared = sorted(first.scores.keys() & second.scores.keys())
        if not shared:
            continue
        effect = paired_effect(
            [first.scores[seed] for seed in shared],
            [second.scores[seed] for seed in shared],
            alpha=alpha,
            n_contrasts=1,
        )
        pairs.append(PairOfArms(first.arm, second.arm, first.block, effect))
    return tuple(pairs)
