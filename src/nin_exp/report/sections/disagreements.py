"""The images that one arm gets right and the other wrong, with their class maps."""

from __future__ import annotations

from nin_exp.report.analysis import Analysis
from nin_exp.report.gallery import Disagreement, find_disagreements
from nin_exp.report.section import Section

MOST_CONTRASTS = 6


def section(analysis: Analysis) -> Section | None:
    """Pictures, a group a contrast and direction; None without a comparison whose panel was kept."""
    groups: list[tuple[str, list[Disagreement]]] = []
    for contrast in analysis.by_example.contrasts[:MOST_CONTRASTS]:
        arm, baseline, block = contrast.arm.arm, contrast.baseline.arm, contrast.arm.block
        place = f" on {block}" if block else ""
        for winner, loser, images in zip((arm, baseline), (baseline, arm), find_disagreements(contrast), strict=True):
            if images:
                groups.append((f"{winner} right more often than {loser}{place}", images))
    if not groups:
        return None
    has_maps = any(answer.picture for _, images in groups for image in images for answer in image.answers)
    return Section("disagreements", "Where the arms disagree", {"groups": groups, "has_maps": has_maps})
