"""The images that one arm gets right and the other wrong, with their class maps."""

from __future__ import annotations

from dataclasses import dataclass

from nin_exp.report.analysis import Analysis
from nin_exp.report.gallery import Disagreement, find_disagreements
from nin_exp.report.section import Section

MOST_CONTRASTS = 6


@dataclass(frozen=True)
class Part:
    """A contrast's images; each of the groups has a title: who is right more often."""

    title: str
    groups: list[tuple[str, list[Disagreement]]]


def section(analysis: Analysis) -> Section | None:
    """Pictures, a group a contrast and direction; None without a comparison whose panel was kept."""
    parts: list[Part] = []
    for contrast in analysis.by_example.contrasts[:MOST_CONTRASTS]:
        arm, baseline, block = contrast.arm.arm, contrast.baseline.arm, contrast.arm.block
        found = zip((arm, baseline), (baseline, arm), find_disagreements(contrast), strict=True)
        groups = [(f"{winner} right more often than {loser}", images) for winner, loser, images in found if images]
        if groups:
            parts.append(Part(f"{arm} against {baseline}{f' on {block}' if block else ''}", groups))
    if not parts:
        return None
    images = [image for part in parts for _, images in part.groups for image in images]
    has_maps = any(answer.picture for image in images for answer in image.answers)
    return Section("disagreements", "Where the arms disagree", {"parts": parts, "has_maps": has_maps})
