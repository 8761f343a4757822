"""The first lines of a report, for someone who has never seen the project: what the arms are, and the short answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from nin_exp.compose.groups import shipped_config_dir
from nin_exp.records.study import Comparison
from nin_exp.report.contrasts import Contrast
from nin_exp.report.sentences import listed
from nin_exp.stats.verdict import Label

MOST_BLOCKS_NAMED = 6
FEWEST_CONTRASTS = 3
"""Of fewer the verdicts themselves are as short."""

LONGEST_MEANING = 120
_ORDER: tuple[tuple[Label, str], ...] = (
    ("better", "better"),
    ("worse", "worse"),
    ("same", "the same in practice"),
    ("undecided", "undecided"),
    ("none", "no verdict"),
)


def short_answers(contrasts: Sequence[Contrast], comparison: Comparison) -> list[str]:
    """Each arm's verdicts over the blocks in one line; empty where a few contrasts need no summary.

    Such as "fc against gap: worse on mnist and svhn, undecided on cifar10."
    """
    if len(contrasts) < FEWEST_CONTRASTS:
        return []
    lines = []
    for arm in (arm for arm in comparison.arms if arm != comparison.baseline):
        own = [contrast for contrast in contrasts if contrast.arm == arm]
        parts = []
        for label, words in _ORDER:
            blocks = [contrast.block for contrast in own if contrast.outcome.verdict.label == label]
            if blocks:
                parts.append(f"{words}{_where(blocks, len(own))}")
        if parts:
            lines.append(f"{arm} against {comparison.baseline}: {', '.join(parts)}.")
    return lines


def _where(blocks: Sequence[str], total: int) -> str:
    if total == 1 and not blocks[0]:
        return ""
    return f" on {listed(blocks)}" if len(blocks) <= MOST_BLOCKS_NAMED else f" on {len(blocks)} of {total} blocks"


def design_line(comparison: Comparison) -> str:
    """What was run, in a sentence."""
    num, blocks = len(comparison.seeds), [block for block in comparison.blocks if block]
    seeds = f"{num} seed{'' if num == 1 else 's'}"
    where = listed(blocks) if len(blocks) <= MOST_BLOCKS_NAMED else f"{len(blocks)} data sets or settings"
    place = f" on each of {where}" if len(blocks) > 1 else f" on {where}" if blocks else ""
    shared = "a seed gives all arms the same split, data order and augmentation"
    return f"Each arm is trained with {seeds}{place}, and compared with {comparison.baseline} seed by seed: {shared}."


def meanings(comparison: Comparison) -> list[tuple[str, str]]:
    """The arms that are options shipped with nin_exp, and what each of them is, in the words of its configuration."""
    if len(comparison.by) != 1:
        return []
    found = ((arm, _meaning(comparison.by[0], arm)) for arm in comparison.arms)
    return [(arm, meaning) for arm, meaning in found if meaning]


@lru_cache(maxsize=256)
def _meaning(group: str, option: str) -> str:
    """The first sentence of the option's file, without its reference; empty for what is no option."""
    if not re.fullmatch(r"[a-z_]+", group) or not re.fullmatch(r"[A-Za-z0-9_]+", option):
        return ""
    try:
        first = (shipped_config_dir() / group / f"{option}.yaml").read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return ""
    sentence = re.split(r" \(|\. |\.$", first.removeprefix("#").strip())[0]
    return sentence if first.startswith("#") and len(sentence) <= LONGEST_MEANING else ""
