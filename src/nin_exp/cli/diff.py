"""``nin-exp diff``: what two runs were told, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nin_exp.cli.flags import make_parser
from nin_exp.errors import IntegrityError
from nin_exp.records.index import find_run
from nin_exp.records.objective import COSTS, value_of
from nin_exp.records.record import Record
from nin_exp.report.collect import read_config

# Where a run lay and what was planned around it says nothing about the run.
_BESIDE = ("study", "seeds", "runs_dir", "data_dir", "executor.", "sweep.", "compare.", "tune.")
Row = tuple[str, str, str]


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser(
        "diff", "Configuration and metrics in which two runs differ.", "example:\n  nin-exp diff 3f2a 9c0d"
    )
    parser.add_argument("first", metavar="A", help="a run directory, a job id, or the start of one")
    parser.add_argument("second", metavar="B", help="the same")
    parser.add_argument("--all", action="store_true", help="also where they agree")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where studies lie")
    args = parser.parse(arguments)
    runs_dir = Path(args.runs_dir).expanduser()
    first, second = (find_run(name, runs_dir) for name in (args.first, args.second))
    settings = _settings(_config(first), _config(second), everything=args.all)
    metrics = _metrics(_record(first), _record(second))
    if args.json:
        shown = {
            "first": str(first),
            "second": str(second),
            "config": {key: [a, b] for key, a, b in settings},
            "metrics": {name: [a, b] for name, a, b in metrics},
        }
        print(json.dumps(shown, indent=1))
        return 0
    print(f"A  {first}\nB  {second}\n")
    _print([("setting", "A", "B"), *settings] if settings else [("no setting differs", "", "")])
    print()
    rows = [
        (name, _number(a), _number(b), "" if a is None or b is None else f"{b - a:+.4g}")
        for name, a, b in metrics
        if args.all or a != b
    ]
    _print([("metric", "A", "B", "B - A"), *rows] if rows else [("no metric differs",)])
    return 0


def _config(run_dir: Path) -> dict[str, str]:
    config = read_config(run_dir / "config.yaml")
    if not config:
        raise IntegrityError(f"{run_dir / 'config.yaml'} must hold the run's configuration, but cannot be read")
    return config


def _settings(first: dict[str, str], second: dict[str, str], *, everything: bool) -> list[Row]:
    keys = [k for k in dict.fromkeys([*first, *second]) if everything or not k.startswith(_BESIDE)]
    rows = [(key, first.get(key, "-"), second.get(key, "-")) for key in keys]
    return rows if everything else [row for row in rows if row[1] != row[2]]


def _record(run_dir: Path) -> Record | None:
    try:
        return Record.read(run_dir)
    except FileNotFoundError:
        return None


def _metrics(first: Record | None, second: Record | None) -> list[tuple[str, float | None, float | None]]:
    names = dict.fromkeys(
        name for record in (first, second) if record is not None for name in [*record.metrics, *COSTS]
    )
    sides = [{name: None if record is None else value_of(record, name) for name in names} for record in (first, second)]
    return [(name, sides[0][name], sides[1][name]) for name in names]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())
