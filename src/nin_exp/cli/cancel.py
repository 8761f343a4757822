"""``nin-exp cancel``: stop a running plan; its jobs save, and the same command goes on later."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from nin_exp.cli.flags import make_parser
from nin_exp.errors import EXIT_JOBS_FAILED
from nin_exp.records.index import find_study

_DESCRIPTION = """Stop what runs on a study on this machine. Each job saves its state and ends; the command that
started the plan goes on from there."""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("cancel", _DESCRIPTION, "example:\n  nin-exp cancel heads")
    parser.add_argument("study", nargs="?", help="a study's name or path (default: the newest)")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where studies lie")
    args = parser.parse(arguments)
    study_dir = find_study(args.study, Path(args.runs_dir).expanduser())
    from nin_exp.executors.running import cancel_study

    found = cancel_study(study_dir)
    if args.json:
        print(json.dumps({"study": str(study_dir), **asdict(found)}))
    elif found.plans or found.jobs:
        what = f"{found.plans} plans" if found.plans != 1 else "1 plan"
        orphans = f" and {found.jobs} jobs whose plan had gone" if found.jobs else ""
        print(f"stopped {what}{orphans} of {study_dir}; the same command goes on")
    elif not found.queued:
        print(f"nothing of {study_dir} runs on this machine")
    if found.queued and not args.json:
        print(f"asked SLURM to cancel {found.queued} jobs of {study_dir}; the same command goes on")
    if found.elsewhere:
        print(f"started on {', '.join(found.elsewhere)}, and may run there: cancel it there", file=sys.stderr)
    if found.alive:
        pids = ", ".join(map(str, found.alive))
        print(f"still saving after the time to wait: process {pids}; try again", file=sys.stderr)
        return EXIT_JOBS_FAILED
    return 0
