"""The study in Markdown, for an issue, a README or a lab book: question, verdicts, scores, how it was done."""

from __future__ import annotations

import re

from nin_exp.report.analysis import Analysis
from nin_exp.report.certainty import how_sure
from nin_exp.report.section import Table
from nin_exp.report.sections import accuracy, methods
from nin_exp.report.sections.published import published_table
from nin_exp.report.sentences import outcome_sentence, question, second_verdict
from nin_exp.report.text import plain_text

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def markdown_summary(analysis: Analysis) -> str:
    """Write the summary; names are escaped, so that none becomes a heading, a link or HTML."""
    comparison = analysis.comparison
    lines = [f"# {markdown_text(analysis.study.name if comparison is None else question(comparison))}", ""]
    if comparison is not None:
        for contrast in analysis.contrasts:
            lines.append(f"- {markdown_text(outcome_sentence(contrast, comparison).text)}")
            second = second_verdict(contrast, comparison)
            lines += [f"  {markdown_text(second)}"] if second else []
        lines += ["", " ".join(markdown_text(line) for line in how_sure(analysis.contrasts, comparison)), ""]
    section = accuracy.section(analysis)
    if section is not None:
        lines += [*table_lines(section.values["table"]), ""]
    published = published_table(analysis)
    if published is not None:
        lines += [*table_lines(published), ""]
    lines += ["## Methods", ""]
    for paragraph in methods.section(analysis).values["paragraphs"]:
        lines += [markdown_text(paragraph), ""]
    return "\n".join(lines)


def markdown_text(text: str) -> str:
    r"""Escape a text for Markdown.

    >>> markdown_text("a_b <x>")
    'a\\_b \\<x\\>'
    """
    return _SPECIAL.sub(r"\\\1", " ".join(plain_text(text, keep="\n\t").split()))


def table_lines(table: Table) -> list[str]:
    """A table as the lines of a Markdown table."""
    head = [markdown_text(column.title) for column in table.columns]
    lines = [f"{markdown_text(table.caption)}", "", f"| {' | '.join(head)} |"]
    lines.append("|" + "|".join("---:" if column.is_number else "---" for column in table.columns) + "|")
    for row in table.rows:
        cells = []
        for cell in row:
            text = markdown_text(cell.text)
            note = f" ({markdown_text(cell.note)})" if cell.note else ""
            cells.append(f"{f'**{text}**' if cell.is_strong else text}{note}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines
