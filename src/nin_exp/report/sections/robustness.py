"""What changed images do to each arm, and whether it looks at the object; where that was measured."""

from __future__ import annotations

from nin_exp.report.analysis import Analysis
from nin_exp.report.evaluation import LOCALISATION, Robustness
from nin_exp.report.figures.robustness import robustness_figure
from nin_exp.report.section import Column, Section, Table, TableCell
from nin_exp.stats.scores import ScoreSummary

MOST_BLOCKS = 6
LOWEST = float("-inf")
CURVES = {
    "shift/acc": ("Accuracy after a shift", "shift, pixels", "accuracy, %"),
    "shift/consistency": ("Answers that a shift leaves as they were", "shift, pixels", "unchanged answers, %"),
    "resize/acc": ("Accuracy at other image sizes", "side of the test images, pixels", "accuracy, %"),
}
MAPS = {"cam": "class map (CAM)", "class_maps": "class map, before the dense layer", "grad_cam": "Grad-CAM"}
HINTS = {
    "pointing_acc": ("pointing", "share of images whose highest place lies in the true box"),
    "box_energy": ("energy in the box", "mean share of the positive map inside the true box"),
    "box_iou": ("IoU", "overlap of the true box and the box around what lies above 20 % of the maximum"),
}


def section(analysis: Analysis) -> Section | None:
    """Curves and tables; None where no run holds an ``evaluation.json``."""
    found = [measured for measured in analysis.robustness if measured.block in analysis.blocks[:MOST_BLOCKS]]
    if not found:
        return None
    drawn = (
        robustness_figure([m for m in found if m.block == block], analysis.arms, block, name, titles, f"robust-{i}-{j}")
        for i, block in enumerate(analysis.blocks[:MOST_BLOCKS])
        for j, (name, titles) in enumerate(CURVES.items())
    )
    figures = tuple(figure for figure in drawn if figure is not None)
    tables = [table for table in (_corruptions(found), _localisation(found)) if table is not None]
    return Section(
        "robustness", "Changed images, and where the arms look", {"figures": figures, "tables": tables}, figures
    )


def _corruptions(found: list[Robustness]) -> Table | None:
    names = sorted({name for measured in found for name in measured.curves if name.startswith("corruption/")})
    places = [
        (name, severity)
        for name in names
        for severity in sorted({x for m in found if name in m.curves for x, _ in m.curves[name].points})
    ]
    if not places:
        return None
    titles = [f"{name.partition('/')[2].replace('_', ' ')} {severity:g}" for name, severity in places]
    columns = (Column("arm", is_number=False), Column("block", is_number=False), *map(Column, titles))
    rows = tuple(
        (
            TableCell(m.arm),
            TableCell(m.block),
            *(_summary(dict(m.curves[name].points).get(x) if name in m.curves else None) for name, x in places),
        )
        for m in found
    )
    notes = ("Columns name the corruption and its severity, as in CIFAR-10-C (Hendrycks and Dietterich 2019).",)
    return Table("Accuracy on corrupted test images, %; mean ± standard deviation over seeds", columns, rows, notes)


def _localisation(found: list[Robustness]) -> Table | None:
    rows = tuple(
        (
            TableCell(m.arm),
            TableCell(m.block),
            TableCell(MAPS[kind]),
            *(_summary(scores.get(name)) for name in LOCALISATION),
            TableCell("–" if m.box_area is None else f"{100 * m.box_area:.1f}", sort=m.box_area),
        )
        for m in found
        for kind, scores in m.localisation.items()
    )
    if not rows:
        return None
    columns = (
        Column("arm", is_number=False),
        Column("block", is_number=False),
        Column("map", is_number=False),
        *(Column(HINTS[name][0], hint=HINTS[name][1]) for name in LOCALISATION),
        Column("box", hint="share of the image that the box covers: what a map that knows nothing reaches"),
    )
    return Table("Whether the map of the true class finds the object, %", columns, rows)


def _summary(summary: ScoreSummary | None) -> TableCell:
    if summary is None:
        return TableCell("–", sort=LOWEST)
    spread = "" if summary.sd is None else f" ± {100 * summary.sd:.1f}"
    return TableCell(f"{100 * summary.mean:.1f}{spread}", sort=summary.mean)
