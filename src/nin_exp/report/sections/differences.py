"""The numbers behind the verdicts: a row a contrast."""

from __future__ import annotations

from dataclasses import replace

from nin_exp.report.analysis import Analysis
from nin_exp.report.contrasts import Contrast
from nin_exp.report.metric import Metric, p_value, percent
from nin_exp.report.section import Column, Section, Table, TableCell
from nin_exp.report.sections.verdict import BADGES
from nin_exp.stats.bootstrap import FEW_PAIRS, BootstrapInterval
from nin_exp.stats.intervals import Interval

FIXED_COLUMNS = ("bootstrap", "p", "p, Holm")
"""Those of a number of seeds that was fixed before any result."""


def section(analysis: Analysis) -> Section | None:
    """The table of paired differences; None without a comparison."""
    comparison = analysis.comparison
    if comparison is None or not analysis.contrasts:
        return None
    metric = Metric(comparison.metric)
    unit = " in points" if metric.is_accuracy else ""
    rows = tuple(_row(contrast, metric) for contrast in analysis.contrasts)
    notes = []
    if any(c.outcome.test is not None and not c.outcome.test.is_exact for c in analysis.contrasts):
        notes.append("With more than 20 differing pairs, p comes from 100 000 random sign patterns (Monte Carlo).")
    if any(c.bootstrap is not None and c.bootstrap.is_too_narrow for c in analysis.contrasts):
        notes.append(f"* too narrow: a bootstrap of fewer than {FEW_PAIRS} pairs, for comparison only.")
    if comparison.looks:
        notes.append("Seeds were added until the verdict: the intervals hold at all looks together, and p is left out.")
    has_tests = any(c.outcome.test is not None for c in analysis.contrasts) or not comparison.looks
    columns = _columns(percent(1 - comparison.alpha), "repeated" if comparison.looks else "paired t")
    kept = [place for place, column in enumerate(columns) if has_tests or column.title not in FIXED_COLUMNS]
    table = Table(
        f"Difference to {comparison.baseline} in {metric.label}{unit}, paired by seed",
        tuple(columns[place] for place in kept),
        tuple(tuple(row[place] for place in kept) for row in rows),
        tuple(notes),
    )
    return Section("differences", "Paired differences", {"table": table})


def _columns(confidence: str, kind: str) -> tuple[Column, ...]:
    return (
        Column("arm", is_number=False),
        Column("block", is_number=False),
        Column("verdict", is_number=False),
        Column("pairs", hint="complete pairs, of those planned"),
        Column("mean"),
        Column(f"{confidence} interval", hint=f"{kind} interval of this contrast alone"),
        Column("widened", hint=f"the same, so that all contrasts hold together with {confidence}; makes the verdict"),
        Column("bootstrap", hint=f"{confidence} percentile interval over the pairs, of this contrast alone"),
        Column("p", hint="exact two-sided sign-flip test of no difference"),
        Column("p, Holm", hint="adjusted over all contrasts of the study"),
        Column("effect size", hint="mean by standard deviation of the differences, with Hedges' correction"),
        Column("P(better)", hint="share of seeds on which the arm beats the baseline, a tie counting half"),
        Column("correlation", hint="of the two arms over the seeds"),
        Column("width", hint="of the paired interval by the unpaired one; under 1, sharing seeds paid"),
    )


def _row(contrast: Contrast, metric: Metric) -> tuple[TableCell, ...]:
    effect, test = contrast.outcome.effect, contrast.outcome.test
    label = contrast.outcome.verdict.label
    complete, planned = contrast.count("complete"), len(contrast.pairs)
    pairs = TableCell(str(complete), sort=complete, note="" if complete == planned else f"of {planned}")
    verdict = TableCell(BADGES[label], tone=label, is_strong=label in ("better", "worse"))
    start = (TableCell(contrast.arm), TableCell(contrast.block), verdict, pairs)
    if effect is None:
        return (*start, *(TableCell("–", sort=float("-inf")) for _ in range(10)))
    decimals = 2 if effect.widened is None else max(2, metric.decimals(effect.widened.width))
    return (
        *start,
        TableCell(metric.difference(effect.mean, decimals, plus=True), sort=effect.mean),
        _interval(effect.interval, metric, decimals),
        _interval(effect.widened, metric, decimals),
        _bootstrap(contrast.bootstrap, metric, decimals),
        _number(None if test is None else p_value(test.p), None if test is None else test.p),
        _number(p_value(contrast.holm_p), contrast.holm_p),
        _plain(effect.effect_size),
        _plain(effect.p_arm_above),
        _plain(effect.correlation),
        _plain(effect.width_ratio),
    )


def _interval(interval: Interval | None, metric: Metric, decimals: int) -> TableCell:
    if interval is None:
        return TableCell("–", sort=float("-inf"))
    ends = [metric.difference(end, decimals) for end in (interval.low, interval.high)]
    return TableCell(" to ".join(ends), sort=interval.low)


def _bootstrap(found: BootstrapInterval | None, metric: Metric, decimals: int) -> TableCell:
    cell = _interval(None if found is None else found.interval, metric, decimals)
    return cell if found is None or not found.is_too_narrow else replace(cell, note="*")


def _plain(value: float | None) -> TableCell:
    return _number(None if value is None else f"{value:.2f}", value)


def _number(text: str | None, value: float | None) -> TableCell:
    return TableCell("–" if text is None else text, sort=float("-inf") if value is None else value)
