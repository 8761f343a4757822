"""Every run of the study, a row each."""

from __future__ import annotations

from nin_exp.report.analysis import Analysis
from nin_exp.report.collect import Run, number
from nin_exp.report.metric import Metric, count, duration
from nin_exp.report.section import Column, Section, Table, TableCell
from nin_exp.report.sections.problems import STATES

SPLITS = ("test", "val", "train")
LOWEST = float("-inf")
MOST_ROWS = 2000
"""Runs in the page's table; a browser is slow with more."""


def section(analysis: Analysis) -> Section | None:
    """The table of runs; None for a study without jobs."""
    if not analysis.runs:
        return None
    choices = list(dict.fromkeys(key for run in analysis.runs for key in run.job.choices if key != "seed"))
    metrics = metric_names(analysis.runs)
    columns = [Column("job", is_number=False), *(Column(key, is_number=False) for key in choices)]
    columns += [Column("seed"), Column("state", is_number=False)]
    columns += [Column(f"{name}, %" if Metric(name).is_accuracy else name) for name in metrics]
    columns += [Column("epochs"), Column("best epoch"), Column("parameters"), Column("time")]
    total = len(analysis.runs)
    rows = tuple(_row(run, choices, metrics) for run in analysis.runs[:MOST_ROWS])
    notes = (f"The first {MOST_ROWS} runs; all {total} stand in results.csv.",) if total > MOST_ROWS else ()
    table = Table(f"{total} planned run{'' if total == 1 else 's'}", tuple(columns), rows, notes)
    return Section("all_runs", "All runs", {"table": table, "is_open": analysis.comparison is None})


def metric_names(runs: tuple[Run, ...]) -> list[str]:
    """Metrics that any run has, the test split's first."""
    names = {str(name) for run in runs if run.record is not None for name in run.record.metrics}
    return sorted(names, key=lambda name: (_place(name), not name.endswith("/acc"), name))


def _place(name: str) -> int:
    split = name.partition("/")[0]
    return SPLITS.index(split) if split in SPLITS else len(SPLITS)


def _row(run: Run, choices: list[str], metrics: list[str]) -> tuple[TableCell, ...]:
    record = run.record
    seconds = None if record is None else number(record.wall_seconds)
    values = [None, None, None] if record is None else [record.epochs, record.best_epoch, record.params_total]
    scores = [run.score(name) for name in metrics]
    return (
        TableCell(run.job.job_id),
        *(TableCell(str(run.job.choices.get(key, ""))) for key in choices),
        TableCell(str(run.job.seed), sort=run.job.seed),
        TableCell(STATES[run.state], tone=run.state),
        *(_number(Metric(name).score(score), score) for name, score in zip(metrics, scores, strict=True)),
        *(_number(count(number(value)), number(value)) for value in values),
        _number(duration(seconds), seconds),
    )


def _number(text: str, value: float | None) -> TableCell:
    return TableCell(text, sort=LOWEST if value is None else value)
