"""Every seed's score, a picture a block."""

from __future__ import annotations

from nin_exp.report.analysis import Analysis
from nin_exp.report.figures.seeds import seeds_figure
from nin_exp.report.section import MOST_BLOCKS, Section, not_drawn


def section(analysis: Analysis) -> Section | None:
    """The dots; None where no setting was run with more than one seed."""
    metric = analysis.metric
    if metric is None or not any(len(cell.scores) > 1 for cell in analysis.cells):
        return None
    found = (
        seeds_figure(analysis.cells_of(block), analysis.arms, block, index, metric)
        for index, block in enumerate(analysis.blocks[:MOST_BLOCKS])
    )
    figures = tuple(figure for figure in found if figure is not None)
    return (
        Section("seeds", "Every seed", {"figures": figures, "not_drawn": not_drawn(analysis.blocks)}, figures)
        if figures
        else None
    )
