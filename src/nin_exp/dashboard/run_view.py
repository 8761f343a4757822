"""A page of its own for a run: how it differs from its pair, its curves, classes and pictures, the end of its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nin_exp.config import VOLATILE_KEYS
from nin_exp.dashboard.activity import ACTIVITIES, find_activity
from nin_exp.dashboard.charts import chart, line
from nin_exp.dashboard.run_classes import read_classes, read_confusion
from nin_exp.dashboard.run_pictures import panel_pictures
from nin_exp.dashboard.state import UNDER_WAY, run_name
from nin_exp.records.redact import redact_text
from nin_exp.report.analysis import Analysis
from nin_exp.report.collect import Run, number
from nin_exp.report.metric import Metric, duration
from nin_exp.report.sections.all_runs import metric_names
from nin_exp.report.sections.problems import STATES
from nin_exp.report.text import plain_text, shorten

LOG_FILE = "log.txt"
LOG_BYTES = 48_000
LOG_LINES = 150


def describe_run(analysis: Analysis, run: Run) -> dict[str, Any]:
    """Everything the run's page shows."""
    pair = find_pair(analysis, run)
    record = run.record
    state: tuple[str, str] = (run.state, STATES[run.state])
    if run.state == "unfinished":
        activity = find_activity(run.run_dir)
        state = (activity, ACTIVITIES[activity])
    return {
        "name": run_name(run),
        "job_id": run.job.job_id,
        "state": state[0],
        "state_name": state[1],
        "problem": None if run.problem is None else shorten(redact_text(run.problem)),
        "metrics": [(name, Metric(name).score(run.score(name)), Metric(name).unit) for name in metric_names((run,))],
        "facts": [] if record is None else _facts(run),
        "pair": None if pair is None else {"name": run_name(pair), "job_id": pair.job.job_id},
        "difference": [] if pair is None else config_difference(run, pair),
        "is_under_way": state[0] in UNDER_WAY,
        "charts": _charts(run, pair),
        "classes": read_classes(run.run_dir),
        "confusion": read_confusion(run.run_dir),
        "pictures": panel_pictures(run),
        "log": read_log(run.run_dir / LOG_FILE),
    }


def find_pair(analysis: Analysis, run: Run) -> Run | None:
    """The run of the same block and seed that this one is held against; None without a comparison."""
    comparison = analysis.comparison
    if comparison is None:
        return None
    others = [r for r in analysis.runs if r.job.seed == run.job.seed and r.job.block == run.job.block and r is not run]
    return next((r for r in others if r.job.arm == comparison.baseline), others[0] if others else None)


def config_difference(run: Run, pair: Run) -> list[tuple[str, str, str]]:
    """Keys in which two configurations differ, with both values; paths and the like left out."""
    keys = [key for key in dict.fromkeys((*run.config, *pair.config)) if key.partition(".")[0] not in VOLATILE_KEYS]
    both = [(key, run.config.get(key, "not set"), pair.config.get(key, "not set")) for key in keys]
    return [(key, _value(key, own), _value(key, other)) for key, own, other in both if own != other]


def _value(key: str, value: str) -> str:
    return shorten(redact_text(f"{key}={value}").partition("=")[2], 300)


def _facts(run: Run) -> list[tuple[str, str]]:
    record = run.record
    assert record is not None
    return [
        ("epochs", f"{record.epochs}, the best {record.best_epoch}"),
        ("time", duration(number(record.wall_seconds))),
        ("device", record.device),
        ("started", str(record.started_at)),
        ("finished", str(record.finished_at)),
        ("flags", ", ".join(record.flags) or "none"),
        ("command", redact_text(record.command)),
    ]


def _charts(run: Run, pair: Run | None) -> list[dict[str, Any]]:
    other = None if pair is None else pair.curve
    name = "" if pair is None else f"{pair.job.arm or run_name(pair)}, "
    found = [
        chart(
            title,
            unit,
            [
                line(run.curve, f"val/{key}", "validation", "main"),
                line(run.curve, f"train/{key}", "training", "second"),
                line(other, f"val/{key}", f"{name}validation", "pair"),
                line(other, f"train/{key}", f"{name}training", "pair-second"),
            ],
        )
        for key, title, unit in (("acc", "accuracy, %", "%"), ("loss", "loss", ""))
    ]
    return [one for one in found if one is not None]


def read_log(path: Path) -> str:
    """The last lines of a log, without secrets and control characters; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            text = file.read(LOG_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""
    return plain_text(redact_text("\n".join(text.splitlines()[-LOG_LINES:])), keep="\n\t")
