"""Each arm over all blocks together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nin_exp.records.study import Comparison
from nin_exp.report.arms import Cell
from nin_exp.report.contrasts import RNG_SEED, Contrast
from nin_exp.stats.across import AcrossBlocks, across_blocks, mean_ranks


@dataclass(frozen=True)
class ArmAcross:
    """An arm's difference to the baseline, and its rank, over blocks.

    Args:
        effect: over the blocks where it has a complete pair; None for the baseline itself, and where there is none.
        mean_rank: over the blocks where every arm has a score; None without any.
    """

    arm: str
    effect: AcrossBlocks | None
    mean_rank: float | None


@dataclass(frozen=True)
class Across:
    """All arms over all blocks; ``num_ranked`` blocks hold a score of every arm."""

    arms: tuple[ArmAcross, ...]
    num_ranked: int
    friedman_p: float | None


def compare_across(comparison: Comparison, contrasts: Sequence[Contrast], cells: Sequence[Cell]) -> Across | None:
    """Average the differences over blocks; None for fewer than two blocks."""
    if len(comparison.blocks) < 2:
        return None
    means = {(cell.arm, cell.block): cell.summary.mean for cell in cells if cell.summary is not None}
    ranked = [block for block in comparison.blocks if all((arm, block) in means for arm in comparison.arms)]
    ranks = mean_ranks([[means[arm, block] for arm in comparison.arms] for block in ranked]) if ranked else None
    arms = []
    for place, arm in enumerate(comparison.arms):
        blocks = [
            [p.arm - p.baseline for p in contrast.complete if p.arm is not None and p.baseline is not None]
            for contrast in contrasts
            if contrast.arm == arm
        ]
        blocks = [block for block in blocks if block]
        rng = np.random.default_rng(RNG_SEED)
        effect = across_blocks(blocks, 1 - comparison.alpha, rng) if len(blocks) > 1 else None
        arms.append(ArmAcross(arm, effect, None if ranks is None else ranks.mean_ranks[place]))
    return Across(tuple(arms), len(ranked), None if ranks is None else ranks.friedman_p)
