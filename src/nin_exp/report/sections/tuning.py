"""What a search has found, and the best value that a number of trials is expected to find."""

from __future__ import annotations

from nin_exp.report.analysis import Analysis
from nin_exp.report.figures.tuning import tuning_figure
from nin_exp.report.metric import Metric
from nin_exp.report.section import Column, Section, Table, TableCell
from nin_exp.report.tuning import TunedArm, Tuning

LOWEST = float("-inf")


def section(analysis: Analysis) -> Section | None:
    """Table and picture; None where the study is no search."""
    tuning = analysis.tuning
    if tuning is None:
        return None
    figure = tuning_figure(tuning)
    values = {"table": _table(tuning), "figure": figure}
    return Section("tuning", "Search", values, () if figure is None else (figure,))


def _table(tuning: Tuning) -> Table:
    metric = Metric(tuning.objective)
    unit = f", {metric.unit}" if metric.unit else ""
    columns = (
        Column("arm", is_number=False),
        Column("trials", hint="done on all seeds, of those begun"),
        Column(f"best{unit}", hint="of one trial, and chosen as the best: too good for what fresh seeds will give"),
        Column(
            f"expected best of {tuning.budget}",
            hint="mean of the best over all subsets of so many of the trials: every arm at the same budget; one that "
            "failed, diverged or was pruned counts as the worst that was done",
        ),
        Column("settings of the best", is_number=False),
    )
    notes = [
        f"Objective: {tuning.objective}, to {tuning.direction}. Nothing here is a verdict: "
        "`nin-exp compare --tuned` compares the best of each arm on fresh seeds.",
        "The expected best holds for exchangeable trials, as random search draws them; a sampler that learns does "
        "better late than early.",
    ]
    if len({one.num_done for one in tuning.arms}) > 1:
        notes.append("The arms have not done as many trials each: compare them in the column of the equal budget.")
    rows = tuple(_row(tuning, one, metric) for one in tuning.arms)
    return Table(f"Trials by {metric.label if metric.is_accuracy else tuning.objective}", columns, rows, tuple(notes))


def _row(tuning: Tuning, one: TunedArm, metric: Metric) -> tuple[TableCell, ...]:
    expected = tuning.at_budget.get(one.arm)
    shown = " ".join(f"{key}={value}" for key, value in one.settings.items() if key not in tuning.search.by)
    note = "" if one.num_done == one.num_trials else f"of {one.num_trials}"
    return (
        TableCell(one.arm or "all"),
        TableCell(str(one.num_done), sort=one.num_done, note=note),
        TableCell(metric.score(one.best), sort=LOWEST if one.best is None else one.best),
        TableCell(metric.score(expected), sort=LOWEST if expected is None else expected),
        TableCell(shown or "–"),
    )
