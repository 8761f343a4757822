"""``nin-exp report``: rebuild a study's report from its run directories, or one over several studies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nin_exp.cli.flags import make_parser
from nin_exp.errors import ConfigError
from nin_exp.records.index import find_study

_EPILOG = """examples:
  nin-exp report
  nin-exp report heads-mnist heads-cifar10 --out runs/heads"""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("report", "Rebuild a study's report from its run directories; several make one.", _EPILOG)
    parser.add_argument("studies", nargs="*", metavar="study", help="names or paths (default: the newest study)")
    parser.add_argument("--out", metavar="DIR", help="folder of a report over several studies")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where studies lie")
    args = parser.parse(arguments)
    runs_dir = Path(args.runs_dir).expanduser()
    study_dirs = list(dict.fromkeys(find_study(name, runs_dir) for name in args.studies or [None]))
    if args.out is not None and len(study_dirs) == 1:
        raise ConfigError("--out is for a report over several studies; that of one study lies in its folder")
    from nin_exp.report.analysis import analyse, summary_lines
    from nin_exp.report.collect import load_study
    from nin_exp.report.merge import merge_studies
    from nin_exp.report.write import build_joint_report, build_report

    if len(study_dirs) == 1:
        paths = build_report(study_dirs[0])
    else:
        joined = "+".join(folder.name for folder in study_dirs)[:120]
        paths = build_joint_report(
            study_dirs, Path(args.out).expanduser() if args.out else runs_dir / joined / "report"
        )
    if args.json:
        names = {"study": str(study_dirs[0])} if len(study_dirs) == 1 else {"studies": [str(s) for s in study_dirs]}
        print(json.dumps({**names, "report": str(paths.html)}))
        return 0
    for line in summary_lines(analyse(merge_studies([load_study(folder) for folder in study_dirs]))):
        print(line)
    print(f"report: {paths.html}")
    return 0
