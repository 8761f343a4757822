"""``nin-exp ls``: list runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nin_exp.cli.flags import make_parser
from nin_exp.errors import ConfigError
from nin_exp.records.index import Run, list_runs
from nin_exp.records.record import Record


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("ls", "List runs: of one study, or all.", "example:\n  nin-exp ls heads --json")
    parser.add_argument("study", nargs="?", help="a study's name (default: all)")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where studies lie")
    args = parser.parse(arguments)
    runs_dir = Path(args.runs_dir).expanduser()
    if args.study is not None and not (runs_dir / args.study).is_dir():
        known = ", ".join(sorted(p.name for p in runs_dir.glob("*") if p.is_dir())[:12])
        raise ConfigError(f"'{args.study}' is not a study below {runs_dir}. Known: {known or 'none'}.")
    runs = list_runs(runs_dir, args.study)
    if args.json:
        print(json.dumps([_as_json(r) for r in runs], indent=1))
        return 0
    if not runs:
        print(f"no runs below {runs_dir}; start with `nin-exp train`")
        return 0
    rows = [_row(r) for r in runs]
    header = ("study", "job", "status", "dataset", "backbone", "head", "seed", "val/acc", "test/acc")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(found: Run) -> tuple[str, ...]:
    study, job = found.path.parent.name, found.path.name
    record = found.record
    if record is None:
        return (study, job, "unreadable" if found.problem else "unfinished", "", "", "", "", "", "")
    choices = (record.dataset, record.backbone, record.head, str(record.seed))
    return (study, job, record.status, *choices, _metric(record, "val/acc"), _metric(record, "test/acc"))


def _metric(record: Record, name: str) -> str:
    return f"{record.metrics[name]:.4f}" if name in record.metrics else ""


def _as_json(found: Run) -> dict[str, Any]:
    record = found.record
    status = record.status if record is not None else "unreadable" if found.problem else "unfinished"
    facts = {} if record is None else {
        "dataset": record.dataset, "backbone": record.backbone, "head": record.head, "optimizer": record.optimizer,
        "seed": record.seed, "metrics": record.metrics,
    }  # fmt: skip
    return {
        "path": str(found.path),
        "study": found.path.parent.name,
        "job_id": found.path.name,
        "status": status,
        **facts,
    }
