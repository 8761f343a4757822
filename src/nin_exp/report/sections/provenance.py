"""What it takes to repeat the study: command, code, versions, data, configuration."""

from __future__ import annotations

from nin_exp.records.redact import redact_text
from nin_exp.report.analysis import Analysis
from nin_exp.report.section import Section
from nin_exp.report.text import shorten


def section(analysis: Analysis) -> Section:
    """Command, git state, versions, devices, data fingerprints, configuration."""
    provenance = analysis.provenance
    records = [run.record for run in analysis.runs if run.record is not None]
    finished = [str(record.finished_at) for record in records if record.finished_at]
    return Section(
        "provenance",
        "How to repeat it",
        {
            "command": shorten(redact_text(analysis.study.command)),
            "created_at": analysis.study.created_at,
            "last_finished_at": max(finished, default=""),
            "num_records": len(records),
            "provenance": provenance,
        },
    )
