"""All data sets together: mean differences and mean ranks."""

from __future__ import annotations

from nin_exp.report.across import ArmAcross
from nin_exp.report.analysis import Analysis
from nin_exp.report.metric import Metric, p_equation, percent
from nin_exp.report.section import UNMONITORED, Column, Section, Table, TableCell
from nin_exp.stats.intervals import Interval

LOWEST = float("-inf")


def section(analysis: Analysis) -> Section | None:
    """The table over all blocks; None with fewer than two."""
    comparison, across = analysis.comparison, analysis.across
    if comparison is None or across is None or all(arm.effect is None for arm in across.arms):
        return None
    metric = Metric(comparison.metric)
    confidence = percent(1 - comparison.alpha)
    columns = (
        Column("arm", is_number=False),
        Column("mean difference", hint="mean over the blocks of the mean paired difference; each block counts alike"),
        Column(f"{confidence} interval", hint="t interval over new seeds on these blocks, Satterthwaite's freedom"),
        Column("bootstrap", hint="percentile bootstrap, pairs drawn anew within each block"),
        Column("blocks won", hint="whose mean difference is above zero, a tie counting half"),
        Column("mean rank", hint=f"of the arm's mean score over {across.num_ranked} blocks with all arms, 1 the best"),
    )
    rows = tuple(_row(arm, metric, arm.arm == comparison.baseline) for arm in across.arms)
    notes = ["It describes these data sets: nothing here speaks of data sets that were not run."]
    if any(a.effect is not None and a.effect.bootstrap and a.effect.bootstrap.is_too_narrow for a in across.arms):
        notes.append("With so few pairs the bootstrap interval is too narrow.")
    if across.friedman_p is not None:
        p = p_equation(across.friedman_p)
        notes.append(
            f"Friedman's test (Iman and Davenport's form) of equal ranks: {p} over {across.num_ranked} blocks."
        )
    notes += [UNMONITORED] if comparison.looks else []
    unit = ", points" if metric.is_accuracy else ""
    table = Table(f"Difference to {comparison.baseline} in {metric.label}{unit}", columns, rows, tuple(notes))
    return Section("across", "All data sets together", {"table": table})


def _row(arm: ArmAcross, metric: Metric, is_baseline: bool) -> tuple[TableCell, ...]:
    rank = TableCell("–" if arm.mean_rank is None else f"{arm.mean_rank:.2f}", sort=_sort(arm.mean_rank))
    name, effect = TableCell(arm.arm, note="baseline" if is_baseline else ""), arm.effect
    if effect is None:
        return (name, *(TableCell("–", sort=LOWEST) for _ in range(4)), rank)
    decimals = 2 if effect.interval is None else max(2, metric.decimals(effect.interval.width))
    return (
        name,
        TableCell(metric.difference(effect.mean, decimals, plus=True), sort=effect.mean),
        interval_cell(effect.interval, metric, decimals),
        interval_cell(None if effect.bootstrap is None else effect.bootstrap.interval, metric, decimals),
        TableCell(f"{effect.wins:g}", sort=effect.wins, note=f"of {len(effect.n_pairs)}"),
        rank,
    )


def interval_cell(interval: Interval | None, metric: Metric, decimals: int) -> TableCell:
    """An interval's ends; a dash where there is none."""
    if interval is None:
        return TableCell("–", sort=LOWEST)
    ends = [metric.difference(end, decimals) for end in (interval.low, interval.high)]
    return TableCell(" to ".join(ends), sort=interval.low)


def _sort(value: float | None) -> float:
    return LOWEST if value is None else value
