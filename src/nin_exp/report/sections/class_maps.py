"""Figure 4 of the paper, for this study: the class maps of some test images."""

from __future__ import annotations

from nin_exp.report.analysis import Analysis
from nin_exp.report.gallery import find_map_rows
from nin_exp.report.section import Section

MOST_BLOCKS = 4
MOST_ARMS = 4
MOST_IMAGES = 8


def section(analysis: Analysis) -> Section | None:
    """A row an image, a strip an arm; None where no panel or no class maps were kept."""
    blocks = []
    for block in analysis.blocks[:MOST_BLOCKS]:
        cells = [cell for cell in analysis.by_example.cells if cell.block == block][:MOST_ARMS]
        rows = find_map_rows(cells, MOST_IMAGES)
        if rows:
            blocks.append({"name": block, "arms": [arm for arm, _ in rows[0].strips], "rows": rows})
    return Section("class_maps", "Class maps", {"blocks": blocks}) if blocks else None
