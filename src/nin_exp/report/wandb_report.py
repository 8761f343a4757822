"""A study's report as a Weights & Biases report, by the package wandb-workspaces, or as the specification of one.

The specification is plain JSON: a title, a description and blocks. Without the package or a server it stands beside
the page, and the same command publishes it later.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nin_exp.errors import ConfigError
from nin_exp.records.files import write_json
from nin_exp.records.wandb_server import why_offline
from nin_exp.report.analysis import Analysis
from nin_exp.report.certainty import how_sure
from nin_exp.report.markdown import markdown_text, table_lines
from nin_exp.report.sections import accuracy, differences, methods
from nin_exp.report.sections.published import published_table
from nin_exp.report.sentences import outcome_sentence, question, second_verdict

SPEC_FILE = "wandb_report.json"
SPEC_SCHEMA_VERSION = 1
CURVES = ("val/acc", "train/loss")
_TARGET = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class WandbTarget:
    """Where a report goes."""

    entity: str
    project: str


@dataclass(frozen=True)
class PublishedReport:
    """What became of it; ``where`` is an address, or the specification's path."""

    where: str
    is_online: bool
    reason: str

    @property
    def sentence(self) -> str:
        """For a person."""
        if self.is_online:
            return f"W&B report: {self.where}"
        return f"W&B report not published ({self.reason}); its specification: {self.where}"


def wandb_target(text: str) -> WandbTarget:
    """Read ``ENTITY/PROJECT``.

    Raises:
        ConfigError: it is none.
    """
    if not _TARGET.fullmatch(text):
        raise ConfigError(f"--wandb must be ENTITY/PROJECT, such as my-team/nin_exp, got '{text}'")
    entity, project = text.split("/")
    return WandbTarget(entity, project)


def publish(analysis: Analysis, target: WandbTarget, report_dir: Path) -> PublishedReport:
    """Write the specification, and publish it where that is possible.

    Raises:
        StorageError: the specification cannot be written.
    """
    spec = report_spec(analysis, target)
    path = report_dir / SPEC_FILE
    write_json(path, spec)
    reason = why_offline()
    if reason is not None:
        return PublishedReport(str(path), False, reason)
    try:
        import wandb_workspaces.reports.v2 as reports
    except ImportError:
        return PublishedReport(str(path), False, "it needs: pip install 'nin-exp[wandb-report]'")
    try:
        url = _save(reports, spec)
    except Exception as error:  # whatever the package or the server raises: the report on disk is whole
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return PublishedReport(str(path), False, reason)
    return PublishedReport(url, True, "")


def report_spec(analysis: Analysis, target: WandbTarget) -> dict[str, Any]:
    """Title, description and blocks; a block is ``heading``, ``markdown`` or ``curves``."""
    comparison, study = analysis.comparison, analysis.study
    title = study.name if comparison is None else question(comparison)
    blocks: list[dict[str, Any]] = []
    if comparison is not None:
        lines = []
        for contrast in analysis.contrasts:
            lines.append(f"- {markdown_text(outcome_sentence(contrast, comparison).text)}")
            second = second_verdict(contrast, comparison)
            lines += [f"  {markdown_text(second)}"] if second else []
        sure = [f"- {markdown_text(line)}" for line in how_sure(analysis.contrasts, comparison)]
        blocks += [*_part("Verdict", lines), *_part("How sure", sure)]
    for build, heading in ((accuracy.section, "Scores"), (differences.section, "Paired differences")):
        section = build(analysis)
        if section is not None:
            blocks += _part(heading, table_lines(section.values["table"]))
    published = published_table(analysis)
    if published is not None:
        blocks += _part("Published numbers", table_lines(published))
    filters = {"group": study.name}
    blocks += [{"type": "heading", "text": "Learning curves"}]
    bands = {"group_by": "job_type", "line": "mean", "band": "stddev"}
    blocks += [{"type": "curves", "metrics": list(CURVES), "filters": filters, **bands}]
    paragraphs = [line for text in methods.section(analysis).values["paragraphs"] for line in (markdown_text(text), "")]
    blocks += _part("Methods", paragraphs)
    return {
        "schema_version": SPEC_SCHEMA_VERSION,
        **asdict(target),
        "title": title[:128],
        "description": f"Study {study.name}, by nin-exp.",
        "blocks": blocks,
    }


def _part(heading: str, lines: list[str]) -> list[dict[str, Any]]:
    return [{"type": "heading", "text": heading}, {"type": "markdown", "text": "\n".join(lines)}]


def _save(reports: Any, spec: dict[str, Any]) -> str:
    """Build the report with wandb-workspaces, and save it as a draft of the project."""
    blocks = []
    for block in spec["blocks"]:
        if block["type"] == "heading":
            blocks.append(reports.H2(text=block["text"]))
        elif block["type"] == "markdown":
            blocks.append(reports.MarkdownBlock(text=block["text"]))
        else:
            blocks.append(_curves(reports, spec, block))
    report = reports.Report(
        entity=spec["entity"],
        project=spec["project"],
        title=spec["title"],
        description=spec["description"],
        blocks=blocks,
    )
    report.save(draft=True)
    return str(report.url)


def _curves(reports: Any, spec: dict[str, Any], block: dict[str, Any]) -> Any:
    runs = reports.Runset(
        entity=spec["entity"],
        project=spec["project"],
        name=block["filters"]["group"],
        filters=f"Group = {block['filters']['group']!r}",
        groupby=["JobType"],
    )
    bands = {"groupby_aggfunc": block["line"], "groupby_rangefunc": block["band"]}
    panels = [reports.LinePlot(x="epoch", y=[name], title=name, **bands) for name in block["metrics"]]
    return reports.PanelGrid(runsets=[runs], panels=panels)
