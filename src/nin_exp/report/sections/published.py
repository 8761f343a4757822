"""Numbers that others have published, beside the runs of the same setting."""

from __future__ import annotations

from nin_exp.records.study import Published
from nin_exp.report.analysis import Analysis
from nin_exp.report.collect import Run
from nin_exp.report.contrasts import LIMITED_FLAG
from nin_exp.report.metric import Metric
from nin_exp.report.section import Column, Section, Table, TableCell
from nin_exp.stats.scores import summarise

LOWEST = float("-inf")


def section(analysis: Analysis) -> Section | None:
    """The table; None where no preset names a number."""
    table = published_table(analysis)
    return None if table is None else Section("published", "Published numbers", {"table": table})


def published_table(analysis: Analysis) -> Table | None:
    """A row a published number; None without any."""
    named = analysis.study.published
    if not named:
        return None
    runs = {run.job.job_id: run for run in analysis.runs}
    rows = tuple(_row(one, [runs[job] for job in one.jobs if job in runs]) for one in named)
    columns = (
        Column("arm", is_number=False),
        Column("block", is_number=False),
        Column("metric", is_number=False),
        Column("published"),
        Column("here", hint="mean ± standard deviation of the finished, whole runs"),
        Column("difference", hint="here less published, in points where it is an accuracy; no interval: one run there"),
        Column("source", is_number=False),
        Column("settings changed", is_number=False, hint="where the runs here are not the preset as it stands"),
    )
    notes = ("A published number is one run on one machine: read the difference beside the spread of the seeds here.",)
    return Table("Published numbers and the runs here", columns, rows, notes)


def _row(one: Published, runs: list[Run]) -> tuple[TableCell, ...]:
    metric = Metric(one.metric)
    whole = [run for run in runs if run.record is not None and LIMITED_FLAG not in run.record.flags]
    scores = [score for run in whole if run.state == "done" and (score := run.score(one.metric)) is not None]
    summary = summarise(scores) if scores else None
    here, difference = TableCell("–", sort=LOWEST, note="no run yet"), TableCell("–", sort=LOWEST)
    if summary is not None:
        spread = "" if summary.sd is None else f" ± {metric.spread(summary.sd)}"
        here = TableCell(f"{metric.score(summary.mean)}{spread}", sort=summary.mean, note=f"n = {summary.n}")
        distance = summary.mean - one.value
        difference = TableCell(metric.difference(distance, plus=True), sort=distance)
    return (
        TableCell(one.arm or "–"),
        TableCell(one.block),
        TableCell(metric.label, note=metric.unit),
        TableCell(metric.score(one.value), sort=one.value),
        here,
        difference,
        TableCell(one.source),
        TableCell(", ".join(one.changed) or "none"),
    )
