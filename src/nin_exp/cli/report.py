"""``nin-exp report``: rebuild a study's report from its run directories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nin_exp.cli.flags import make_parser
from nin_exp.records.index import find_study


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("report", "Rebuild a study's report from its run directories.")
    parser.add_argument("study", nargs="?", help="a study's name or path (default: the newest)")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where studies lie")
    args = parser.parse(arguments)
    study_dir = find_study(args.study, Path(args.runs_dir).expanduser())
    from nin_exp.report.analysis import analyse, summary_lines
    from nin_exp.report.collect import load_study
    from nin_exp.report.write import build_report

    paths = build_report(study_dir)
    if args.json:
        print(json.dumps({"study": str(study_dir), "report": str(paths.html)}))
        return 0
    for line in summary_lines(analyse(load_study(study_dir))):
        print(line)
    print(f"report: {paths.html}")
    return 0
