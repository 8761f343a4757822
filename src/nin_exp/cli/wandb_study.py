"""A plan's result in Weights & Biases: one run of the study's group that holds its final tables."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from nin_exp.report.analysis import Analysis, summary_lines
from nin_exp.report.section import Table
from nin_exp.report.sections import accuracy, differences

MIRROR = "nin_exp.train.loggers.WandbMirror"


def log_study(analysis: Analysis, loggers: dict[str, Any], study_dir: Path) -> None:
    """Log verdicts and tables where the plan's runs were logged; whatever fails is one line, and no error."""
    nodes = [node for node in loggers.values() if node.get("_target_") == MIRROR]
    if not nodes or not any(run.state == "done" for run in analysis.runs):
        return
    from nin_exp.train.loggers import WandbMirror, wandb_id

    node, study = nodes[0], analysis.study
    try:
        mirror = WandbMirror(**{key: value for key, value in node.items() if key != "_target_"})
        run = mirror.open(
            dir=str(study_dir),
            id=wandb_id(study.name, "study"),
            name=f"{study.name}: result",
            group=study.name,
            job_type="result",
            tags=["result", *node["tags"]],
            notes="\n".join([study.command, *summary_lines(analysis)]),
        )
        with contextlib.closing(_Finishing(run)):
            import wandb

            tables = {"scores": accuracy.section(analysis), "differences": differences.section(analysis)}
            run.log(
                {
                    name: wandb.Table(**_columns_and_rows(section.values["table"]))
                    for name, section in tables.items()
                    if section is not None
                }
            )
            for contrast in analysis.contrasts:
                run.summary[f"verdict/{contrast.arm}/{contrast.block}"] = contrast.outcome.verdict.label
    except Exception as error:  # a tracker may not fail a plan that has ended well
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        print(f"W&B did not take the study's tables: {reason}", file=sys.stderr)


class _Finishing:
    """Ends a W&B run as ``close``."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def close(self) -> None:
        """Say that it ended well."""
        self._run.finish(exit_code=0)


def _columns_and_rows(table: Table) -> dict[str, Any]:
    rows = [[f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in row] for row in table.rows]
    return {"columns": [column.title or "arm" for column in table.columns], "data": rows}
