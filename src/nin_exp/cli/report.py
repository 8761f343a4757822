"""``nin-exp report``: rebuild a study's report from its run directories, or one over several studies."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from pathlib import Path

from nin_exp.cli.flags import make_parser
from nin_exp.errors import ConfigError
from nin_exp.records.index import find_study

_EPILOG = """examples:
  nin-exp report
  nin-exp report heads-mnist heads-cifar10 --out runs/heads
  nin-exp report big-grid --tables"""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("report", "Rebuild a study's report from its run directories; several make one.", _EPILOG)
    parser.add_argument("studies", nargs="*", metavar="study", help="names or paths (default: the newest study)")
    parser.add_argument("--out", metavar="DIR", help="folder of a report over several studies")
    parser.add_argument("--tables", action="store_true", help="tables only, no page and figures: for very many runs")
    parser.add_argument("--wandb", metavar="ENTITY/PROJECT", help="also as a Weights & Biases report")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where studies lie")
    args = parser.parse(arguments)
    runs_dir = Path(args.runs_dir).expanduser()
    study_dirs = list(dict.fromkeys(find_study(name, runs_dir) for name in args.studies or [None]))
    if args.out is not None and len(study_dirs) == 1:
        raise ConfigError("--out is for a report over several studies; that of one study lies in its folder")
    from nin_exp.report.analysis import analyse, summary_lines
    from nin_exp.report.collect import load_study
    from nin_exp.report.merge import merge_studies
    from nin_exp.report.wandb_report import publish, wandb_target
    from nin_exp.report.write import REPORT_DIR, write_report, write_tables

    target = None if args.wandb is None else wandb_target(args.wandb)
    studies = [load_study(folder) for folder in study_dirs]
    gc.freeze()  # a hundred thousand records are no garbage: collections need not look at them
    analysis = analyse(studies[0] if len(studies) == 1 else merge_studies(studies))
    report_dir = study_dirs[0] / REPORT_DIR if len(studies) == 1 else _joint_dir(args.out, study_dirs, runs_dir)
    paths = (write_tables if args.tables else write_report)(analysis, report_dir)
    shown = paths.markdown if args.tables else paths.html
    published = None if target is None else publish(analysis, target, report_dir)
    if args.json:
        names = {"study": str(study_dirs[0])} if len(study_dirs) == 1 else {"studies": [str(s) for s in study_dirs]}
        extra = {} if published is None else {"wandb": published.where}
        print(json.dumps({**names, "report": str(shown), **extra}))
        return 0
    for line in summary_lines(analysis):
        print(line)
    if published is not None:
        print(published.sentence)
    print(f"report: {shown}")
    return 0


def _joint_dir(out: str | None, study_dirs: Sequence[Path], runs_dir: Path) -> Path:
    joined = "+".join(folder.name for folder in study_dirs)[:120]
    return Path(out).expanduser() if out else runs_dir / joined / "report"
