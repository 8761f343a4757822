"""What went wrong or is missing, and findings that a reader must know."""

from __future__ import annotations

from typing import Any

from nin_exp.records.redact import redact_text
from nin_exp.report.analysis import Analysis
from nin_exp.report.collect import Run
from nin_exp.report.section import Column, Section, Table, TableCell
from nin_exp.report.text import shorten

STATES = {
    "done": "done",
    "failed": "failed",
    "diverged": "diverged",
    "pruned": "pruned",
    "unreadable": "record damaged",
    "unfinished": "started, no record",
    "not_started": "not started",
}
MEANINGS = {
    "dead_head": "All class maps are zero, so every image gets the same answer. The run counts.",
    "constant_predictor": "Every test image gets the same answer. The run counts.",
    "stopped_early": "Validation stopped improving, so training ended before its last epoch.",
    "stopped_above": "Training and validation accuracy passed trainer.stop_above, so training ended there.",
    "schedule_finished": "The schedule had lowered the learning rate for the last time, so training ended there.",
    "target_not_reached": "val/acc did not reach evaluation.target_acc: there are no epochs to target.",
    "limited": "It saw a few batches only (debug, or a limit on batches). It is no result, and makes no verdict.",
}


def section(analysis: Analysis) -> Section | None:
    """Warnings, flags, failed and missing runs; None when there are none."""
    failed = [run for run in analysis.runs if run.state in ("failed", "diverged", "unreadable")]
    missing = [run for run in analysis.runs if run.state in ("unfinished", "not_started")]
    flags = _flags(analysis)
    if not (failed or missing or flags or analysis.warnings):
        return None
    return Section(
        "problems",
        "Failed, missing and flagged runs",
        {
            "warnings": analysis.warnings,
            "flags": flags,
            "failed": [_failure(run) for run in failed],
            "missing": _missing(missing),
        },
    )


def _flags(analysis: Analysis) -> Table | None:
    rows = tuple(
        (
            TableCell(str(flag)),
            TableCell(cell.arm),
            TableCell(cell.block),
            TableCell(str(number), sort=number, note=f"of {len(cell.runs)}"),
            TableCell(MEANINGS.get(flag, "")),
        )
        for cell in analysis.cells
        for flag, number in cell.flags.items()
    )
    names = ("flag", "arm", "block", "runs", "meaning")
    columns = tuple(Column(name, is_number=name == "runs") for name in names)
    return Table("Flagged runs", columns, rows) if rows else None


def _failure(run: Run) -> dict[str, Any]:
    error = shorten(redact_text(run.problem or ""))
    lines = [line for line in error.splitlines() if line.strip()]
    is_traceback = lines[0].startswith("Traceback") if lines else False
    return {
        "arm": run.job.arm,
        "block": run.job.block,
        "seed": run.job.seed,
        "job_id": run.job.job_id,
        "state": run.state,
        "state_name": STATES[run.state],
        "exit_code": None if run.record is None else run.record.exit_code,
        "error": "no error was recorded" if not lines else lines[-1] if is_traceback else lines[0],
        "whole_error": error if len(lines) > 1 else "",
    }


def _missing(runs: list[Run]) -> Table | None:
    rows = tuple(
        (
            TableCell(run.job.job_id),
            TableCell(run.job.arm),
            TableCell(run.job.block),
            TableCell(str(run.job.seed), sort=run.job.seed),
            TableCell(STATES[run.state]),
        )
        for run in runs
    )
    names = ("job", "arm", "block", "seed", "state")
    columns = tuple(Column(name, is_number=name == "seed") for name in names)
    return Table("Runs without a record", columns, rows) if rows else None
