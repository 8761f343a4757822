"""What a program reads: ``results.json`` with all numbers of the report, ``results.csv`` with a row a run."""

from __future__ import annotations

import csv
import io
from dataclasses import is_dataclass
from operator import attrgetter
from typing import Any

from nin_exp.records.redact import redact_text
from nin_exp.report.analysis import Analysis
from nin_exp.report.arms import Cell
from nin_exp.report.collect import Run, number
from nin_exp.report.contrasts import Contrast, Outcome
from nin_exp.report.evaluation import Robustness
from nin_exp.report.examples import ContrastExamples
from nin_exp.report.sections.all_runs import metric_names
from nin_exp.report.sentences import outcome_sentence, question, second_verdict
from nin_exp.report.text import csv_cell

RESULTS_SCHEMA_VERSION = 1
MOST_TEXTS = 10_000
RECORD_COLUMNS = (
    "dataset",
    "backbone",
    "head",
    "optimizer",
    "params_total",
    "params_head",
    "macs",
    "images_per_second",
    "wall_seconds",
    "peak_memory_bytes",
    "epochs",
    "steps",
    "best_epoch",
    "device",
    "started_at",
    "finished_at",
    "config_hash",
    "code_hash",
)

_RECORD_VALUES = attrgetter(*RECORD_COLUMNS)


def results_document(analysis: Analysis) -> dict[str, Any]:
    """Verdicts and what they rest on, as ``results.schema.json`` says; scores and differences are fractions.

    Every metric of every run stands in ``results.csv``.
    """
    comparison = analysis.comparison
    study = analysis.study
    return {
        "schema_version": RESULTS_SCHEMA_VERSION,
        "study": {
            "name": study.name,
            "verb": study.verb,
            "command": redact_text(study.command),
            "created_at": study.created_at,
            "num_jobs": len(study.jobs),
        },
        "comparison": None if comparison is None else {**plain(comparison), "question": question(comparison)},
        "metric": None if analysis.metric is None else analysis.metric.key,
        "states": analysis.states,
        "cells": [_cell(cell) for cell in analysis.cells],
        "contrasts": [_contrast(analysis, contrast) for contrast in analysis.contrasts],
        "best": [plain(best) for best in analysis.best],
        "all_pairs": [plain(pair) for pair in analysis.all_pairs],
        "published": [plain(one) for one in study.published],
        "across_blocks": None if analysis.across is None else plain(analysis.across),
        "test_examples": [_examples(contrast) for contrast in analysis.by_example.contrasts],
        "calibration": [plain(one) for one in analysis.calibration],
        "robustness": [_robustness(one) for one in analysis.robustness],
        "problems": [_problem(run) for run in analysis.runs if run.state != "done"],
        "warnings": list(analysis.warnings),
        "provenance": plain(analysis.provenance),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "arm": cell.arm,
        "block": cell.block,
        "scores": {str(seed): score for seed, score in cell.scores.items()},
        "summary": None if cell.summary is None else plain(cell.summary),
        "states": cell.states,
        "flags": cell.flags,
        "cost": {**plain(cell.cost), "head_share": cell.cost.head_share},
    }


def _contrast(analysis: Analysis, contrast: Contrast) -> dict[str, Any]:
    comparison = analysis.comparison
    assert comparison is not None  # contrasts come from comparisons alone
    return {
        "arm": contrast.arm,
        "baseline": contrast.baseline,
        "block": contrast.block,
        "verdict": contrast.outcome.verdict.label,
        "sentence": outcome_sentence(contrast, comparison).text,
        "pairs": [dict(pair.__dict__) for pair in contrast.pairs],
        **_outcome(contrast.outcome),
        "p_holm": contrast.holm_p,
        "bootstrap": None if contrast.bootstrap is None else plain(contrast.bootstrap),
        "chance": contrast.chance,
        "num_examples": contrast.num_examples,
        "with_diverged": None if contrast.with_diverged is None else _outcome(contrast.with_diverged),
        "with_diverged_sentence": second_verdict(contrast, comparison),
    }


def _examples(contrast: ContrastExamples) -> dict[str, Any]:
    return {
        "arm": contrast.arm.arm,
        "baseline": contrast.baseline.arm,
        "block": contrast.arm.block,
        "seeds": list(contrast.seeds),
        "sources": {**plain(contrast.sources), "examples_share": contrast.sources.examples_share},
        "mcnemar": [plain(test) for test in contrast.tests],
    }


def _robustness(measured: Robustness) -> dict[str, Any]:
    curves = {
        name: [{"x": x, **plain(summary)} for x, summary in curve.points] for name, curve in measured.curves.items()
    }
    return {**plain(measured), "curves": curves}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    verdict = outcome.verdict
    return {
        "effect": None if outcome.effect is None else plain(outcome.effect),
        "test": None if outcome.test is None else plain(outcome.test),
        "verdict": verdict.label,
        "notes": list(verdict.notes),
        "further_seeds": None if verdict.further is None else plain(verdict.further),
        "monitored": None if outcome.monitored is None else plain(outcome.monitored),
    }


def _problem(run: Run) -> dict[str, Any]:
    return {
        **plain(run.job),
        "state": run.state,
        "exit_code": None if run.record is None else run.record.exit_code,
        "error": None if run.problem is None else redact_text(run.problem),
    }


def plain(value: Any) -> Any:
    """What a dataclass holds as mappings, lists and numbers; ``dataclasses.asdict`` without its copies."""
    if value is None or value.__class__ in (float, int, str, bool):
        return value
    if is_dataclass(value):
        return {name: plain(part) for name, part in value.__dict__.items()}
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def results_csv(analysis: Analysis) -> str:
    """A row a planned run, whatever became of it; cells are safe for spreadsheets."""
    metrics = metric_names(analysis.runs)
    choices = list(dict.fromkeys(key for run in analysis.runs for key in run.job.choices))
    header = ["job_id", "study", "state", "exit_code", "arm", "block", "seed"]
    header += [f"choice:{key}" for key in choices]
    header += [*metrics, *RECORD_COLUMNS, "flags", "error"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")  # RFC 4180
    writer.writerow([csv_cell(name) for name in header])
    cell = _CellTexts()
    for run in analysis.runs:
        row = _row(analysis.study.name, run, choices, metrics)
        writer.writerow([cell[value] if value.__class__ is str else value for value in row])
    return file.getvalue()


class _CellTexts(dict[str, str]):
    """Texts made safe, each once; numbers and None are written by ``csv`` as ``csv_cell`` would."""

    def __missing__(self, text: str) -> str:
        if len(self) > MOST_TEXTS:
            self.clear()
        self[text] = csv_cell(text)
        return self[text]


def _row(study: str, run: Run, choices: list[str], metrics: list[str]) -> list[Any]:
    job, record = run.job, run.record
    start = [job.job_id, study, run.state, None if record is None else record.exit_code, job.arm, job.block, job.seed]
    chosen = [job.choices.get(key) for key in choices]
    error = None if run.problem is None else redact_text(run.problem)
    if record is None:
        return [*start, *chosen, *((None,) * (len(metrics) + len(RECORD_COLUMNS) + 1)), error]
    measured = [number(record.metrics.get(name)) for name in metrics]
    return [*start, *chosen, *measured, *_RECORD_VALUES(record), " ".join(map(str, record.flags)), error]
