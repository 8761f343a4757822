"""Build a study's report and write its files, each whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nin_exp.errors import RefusedError
from nin_exp.records.files import atomic_write, write_large_json, write_text
from nin_exp.report.analysis import Analysis, analyse
from nin_exp.report.collect import load_study
from nin_exp.report.document import results_csv, results_document
from nin_exp.report.drawing import to_svg
from nin_exp.report.latex import latex_tables
from nin_exp.report.markdown import markdown_summary
from nin_exp.report.merge import merge_studies
from nin_exp.report.page import render_page
from nin_exp.report.pdf import to_pdf
from nin_exp.report.vector import curves_drawing, difference_drawing

REPORT_DIR = "report"
MOST_CURVES = 20
"""Blocks whose curves are written as files."""


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report; ``figures`` is a folder of SVG and PDF files for a paper."""

    html: Path
    json: Path
    csv: Path
    tex: Path
    markdown: Path
    figures: Path


def build_report(study_dir: Path) -> ReportPaths:
    """Build the report of a study from its run directories, into ``<study_dir>/report``.

    Raises:
        ConfigError: the folder holds no study.
        IntegrityError: its ``study.json`` is damaged.
        RefusedError: ``report`` is a link that leads elsewhere.
        StorageError: the files cannot be written.
    """
    return write_report(analyse(load_study(study_dir)), study_dir / REPORT_DIR)


def build_joint_report(study_dirs: Sequence[Path], report_dir: Path) -> ReportPaths:
    """Build one report over several studies that ask the same question.

    Raises:
        ConfigError: a folder holds no study, or the studies compare different things.
        IntegrityError, RefusedError, StorageError: as ``build_report``.
    """
    return write_report(analyse(merge_studies([load_study(study_dir) for study_dir in study_dirs])), report_dir)


def write_report(analysis: Analysis, report_dir: Path) -> ReportPaths:
    """Write a ready analysis: page, tables, summary and figures.

    Who has analysed a study already, for its verdicts on a terminal, need not read its runs again.

    Raises:
        RefusedError: the folder is a link that leads elsewhere.
        StorageError: the files cannot be written.
    """
    paths = write_tables(analysis, report_dir)
    _write_figures(analysis, paths.figures)
    write_text(paths.html, render_page(analysis))  # last: whoever sees the page finds its files
    return paths


def write_tables(analysis: Analysis, report_dir: Path) -> ReportPaths:
    """Write what needs no picture: JSON, CSV, LaTeX and the summary in Markdown; for very many runs.

    Raises:
        RefusedError, StorageError: as ``write_report``.
    """
    paths = ReportPaths(
        html=report_dir / "index.html",
        json=report_dir / "results.json",
        csv=report_dir / "results.csv",
        tex=report_dir / "tables.tex",
        markdown=report_dir / "summary.md",
        figures=report_dir / "figures",
    )
    for folder in (report_dir, paths.figures):
        if folder.is_symlink():
            raise RefusedError(f"the report's folder must not be a link, got '{folder}'; remove the link")
    write_large_json(paths.json, results_document(analysis))
    write_text(paths.csv, results_csv(analysis))
    write_text(paths.tex, latex_tables(analysis))
    write_text(paths.markdown, markdown_summary(analysis))
    return paths


def _write_figures(analysis: Analysis, folder: Path) -> None:
    """Write each figure as SVG, and as PDF for pdfLaTeX."""
    drawings = {"differences": difference_drawing(analysis)}
    for place, block in enumerate(analysis.blocks[:MOST_CURVES]):
        for name in ("val/acc", "train/loss"):
            drawings[f"curves-{place}-{name.replace('/', '-')}"] = curves_drawing(analysis, block, name)
    for name, drawing in drawings.items():
        if drawing is not None:
            write_text(folder / f"{name}.svg", to_svg(drawing))
            with atomic_write(folder / f"{name}.pdf") as file:
                file.write(to_pdf(drawing))
