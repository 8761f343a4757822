"""Every arm against every other; describes, decides nothing."""

from __future__ import annotations

from nin_exp.report.analysis import Analysis
from nin_exp.report.metric import Metric, percent
from nin_exp.report.section import UNMONITORED, Column, Section, Table, TableCell


def section(analysis: Analysis) -> Section | None:
    """The table of all pairs of arms; None with fewer than three arms."""
    comparison = analysis.comparison
    if comparison is None or not analysis.all_pairs:
        return None
    metric = Metric(comparison.metric)
    rows = []
    for pair in analysis.all_pairs:
        effect = pair.effect
        interval = TableCell("–", sort=float("-inf"))
        if effect.interval is not None:
            ends = [metric.difference(end) for end in (effect.interval.low, effect.interval.high)]
            interval = TableCell(" to ".join(ends), sort=effect.interval.low)
        rows.append(
            (
                TableCell(f"{pair.arm} – {pair.other}"),
                TableCell(pair.block),
                TableCell(str(effect.n), sort=effect.n),
                TableCell(metric.difference(effect.mean, plus=True), sort=effect.mean),
                interval,
                TableCell(f"{effect.p_arm_above:.2f}", sort=effect.p_arm_above),
            )
        )
    columns = (
        Column("arms", is_number=False),
        Column("block", is_number=False),
        Column("pairs"),
        Column("mean difference"),
        Column(f"{percent(1 - comparison.alpha)} interval", hint="of this pair alone, not widened"),
        Column("P(first better)", hint="share of seeds on which the first arm beats the second, a tie counting half"),
    )
    unit = ", points" if metric.is_accuracy else ""
    note = "For orientation: with so many pairs some intervals miss zero by chance. Verdicts come from the table above."
    table = Table(
        f"Differences in {metric.label}{unit}, all arms",
        columns,
        tuple(rows),
        (note, *((UNMONITORED,) if comparison.looks else ())),
    )
    return Section("all_pairs", "All arms against all", {"table": table})
