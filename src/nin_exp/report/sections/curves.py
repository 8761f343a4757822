"""Learning curves of every arm, a pair of pictures a block."""

from __future__ import annotations

from nin_exp.report.analysis import Analysis
from nin_exp.report.figures.curves import MOST_EPOCHS, curves_figure
from nin_exp.report.section import MOST_BLOCKS, Section, not_drawn

SHOWN = ("val/acc", "train/loss")


def section(analysis: Analysis) -> Section | None:
    """Validation accuracy and training loss by epoch; None where no run has a curve."""
    drawn = analysis.blocks[:MOST_BLOCKS]
    found = (
        curves_figure(
            analysis.cells_of(block),
            analysis.arms,
            block,
            name,
            f"curve-{index}-{name.replace('/', '-')}",
        )
        for index, block in enumerate(drawn)
        for name in SHOWN
    )
    figures = tuple(figure for figure in found if figure is not None)
    if not figures:
        return None
    runs = [run for block in drawn for cell in analysis.cells_of(block) for run in cell.runs]
    longest = max((r.curve.epochs.size for r in runs if r.curve is not None), default=0)
    return Section(
        "curves",
        "Learning curves",
        {
            "figures": figures,
            "has_band": any(len([r for r in c.runs if r.state == "done"]) > 1 for c in analysis.cells),
            "has_unfinished": any(r.state != "done" and r.curve is not None for r in runs),
            "most_epochs": MOST_EPOCHS if longest > MOST_EPOCHS else None,
            "not_drawn": not_drawn(analysis.blocks),
        },
        figures,
    )
