"""Two sources of doubt, apart and together: the seeds that were run, the test examples that were drawn."""

from __future__ import annotations

from statistics import median

from nin_exp.report.analysis import Analysis
from nin_exp.report.examples import MOST_RUNS, ContrastExamples
from nin_exp.report.figures.two_sources import two_sources_figure
from nin_exp.report.metric import Metric, p_value, percent
from nin_exp.report.section import UNMONITORED, Column, Section, Table, TableCell
from nin_exp.report.sections.across import interval_cell

LOWEST = float("-inf")
FEW_SEEDS = 6


def section(analysis: Analysis) -> Section | None:
    """Table and picture; None without a comparison of accuracies whose predictions were kept."""
    comparison, metric = analysis.comparison, analysis.metric
    if comparison is None or metric is None or not metric.is_accuracy or not analysis.by_example.contrasts:
        return None
    contrasts = analysis.by_example.contrasts
    confidence = percent(1 - comparison.alpha)
    columns = (
        Column("arm", is_number=False),
        Column("block", is_number=False),
        Column("seeds × examples"),
        Column("mean"),
        Column("new seeds", hint=f"{confidence} t interval over seeds, on the same examples; as in the verdict, alone"),
        Column("new examples", hint=f"{confidence} bootstrap interval over examples, with these trained networks"),
        Column("both", hint=f"{confidence} interval over new seeds and new examples at once"),
        Column("from examples", hint="share of the whole variance that more seeds cannot remove"),
        Column("McNemar", hint=f"pairs of networks whose exact test finds p ≤ {comparison.alpha:g}; the median p"),
    )
    rows = tuple(_row(contrast, metric, comparison.alpha) for contrast in contrasts)
    notes = [
        "The verdict asks about new seeds on this test set. “both” asks what would hold on another test set of this "
        "size too; what chance does to a network on a single example is counted once in it, and in each of the others. "
        "None of these intervals is widened over the contrasts.",
    ]
    fewest = min(contrast.sources.n_seeds for contrast in contrasts)
    if fewest < 2:
        notes.append("One seed gives no interval; McNemar's test is about its two networks alone.")
    elif fewest < FEW_SEEDS:
        notes.append(f"With fewer than {FEW_SEEDS} seeds the part of the seeds is itself hardly known.")
    if analysis.by_example.num_left_out:
        notes.append(f"Predictions of the first {MOST_RUNS} finished runs are read; the others are left out here.")
    notes += [UNMONITORED] if comparison.looks else []
    unit = f"points of {metric.label}"
    table = Table(f"Difference to {comparison.baseline}, {unit}", columns, rows, tuple(notes))
    drawn = [contrast for contrast in contrasts if contrast.sources.both is not None]
    figures = (two_sources_figure(drawn, metric, confidence),) if drawn else ()
    return Section("test_examples", "Seeds and test examples", {"table": table, "figures": figures}, figures)


def _row(contrast: ContrastExamples, metric: Metric, alpha: float) -> tuple[TableCell, ...]:
    sources = contrast.sources
    decimals = 2 if sources.both is None else max(2, metric.decimals(sources.both.width))
    share = sources.examples_share
    p_values = [test.p for test in contrast.tests]
    found = sum(p <= alpha for p in p_values)
    return (
        TableCell(contrast.arm.arm),
        TableCell(contrast.arm.block),
        TableCell(f"{sources.n_seeds} × {sources.n_examples}", sort=sources.n_examples),
        TableCell(metric.difference(sources.mean, decimals, plus=True), sort=sources.mean),
        interval_cell(sources.seeds, metric, decimals),
        interval_cell(sources.examples, metric, decimals),
        interval_cell(sources.both, metric, decimals),
        TableCell("–" if share is None else percent(round(share, 2)), sort=LOWEST if share is None else share),
        TableCell(f"{found} of {len(p_values)}", sort=median(p_values), note=f"median p {p_value(median(p_values))}"),
    )
