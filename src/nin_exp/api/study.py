"""A study from Python: its runs as a table, its contrasts, its figures, its report. No torch."""

from __future__ import annotations

import importlib.resources
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nin_exp.errors import ConfigError, nearest
from nin_exp.inference.run import TrainedRun, load_run
from nin_exp.records.index import find_study
from nin_exp.records.study import Study
from nin_exp.report.analysis import Analysis, analyse, summary_lines
from nin_exp.report.collect import Run, StudyResults
from nin_exp.report.collect import load_study as read_study
from nin_exp.report.document import RECORD_COLUMNS
from nin_exp.report.write import build_report

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure

Theme = Literal["light", "dark"]
_TOKEN = re.compile(r"(--[\w-]+):\s*light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\)")


def load_study(path: str | os.PathLike[str] | None = None, *, runs_dir: str | os.PathLike[str] = "runs") -> LoadedStudy:
    """Open a study: what was planned, and what became of it.

    Args:
        path: its folder or its name; None for the newest.
        runs_dir: where names are looked for.

    Raises:
        ConfigError: there is no such study; the nearest are named.
        IntegrityError: its ``study.json`` is damaged.
    """
    folder = find_study(None if path is None else os.fspath(path), Path(runs_dir).expanduser())
    return LoadedStudy(folder, read_study(folder))


class LoadedStudy:
    """A study as it lay on disk when it was opened. Made by ``load_study`` and ``compare``."""

    def __init__(self, path: Path, results: StudyResults) -> None:
        self.path = path
        self._results = results

    def __repr__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in self.analysis.states.items())
        return f"LoadedStudy('{self.path}': {states})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the contrasts, or the runs where nothing is compared."""
        table = self.records if self.contrasts.empty else self.contrasts
        html: str = table.to_html(max_rows=30)
        return html

    @property
    def study(self) -> Study:
        """The plan."""
        return self._results.study

    @property
    def runs(self) -> tuple[Run, ...]:
        """Each planned job with what became of it, in the plan's order."""
        return self._results.runs

    @cached_property
    def analysis(self) -> Analysis:
        """All numbers of the report, as plain values."""
        return analyse(self._results)

    @cached_property
    def records(self) -> pandas.DataFrame:
        """A row a planned run: what varies, its state, its metrics, its costs. Its index is the job's id."""
        import pandas

        rows = [_row(run) for run in self.runs]
        return pandas.DataFrame(rows).set_index("job_id")

    @cached_property
    def contrasts(self) -> pandas.DataFrame:
        """A row a contrast: an arm against the baseline in a block, with interval, p and verdict; empty without any.

        ``low`` and ``high`` are the interval that makes the verdict, widened over all contrasts of the study.
        """
        import pandas

        rows = []
        for contrast in self.analysis.contrasts:
            effect, test = contrast.outcome.effect, contrast.outcome.test
            interval = None if effect is None else effect.widened
            rows.append(
                {
                    "block": contrast.block,
                    "arm": contrast.arm,
                    "baseline": contrast.baseline,
                    "verdict": contrast.outcome.verdict.label,
                    "pairs": 0 if effect is None else effect.n,
                    "difference": None if effect is None else effect.mean,
                    "low": None if interval is None else interval.low,
                    "high": None if interval is None else interval.high,
                    "p": None if test is None else test.p,
                    "p_holm": contrast.holm_p,
                }
            )
        names = ["block", "arm", "baseline", "verdict", "pairs", "difference", "low", "high", "p", "p_holm"]
        return pandas.DataFrame(rows, columns=names)

    @property
    def summary(self) -> str:
        """The verdicts in sentences, a line each; empty without a comparison."""
        return "\n".join(summary_lines(self.analysis))

    def figures(self, theme: Theme = "light") -> dict[str, Figure]:
        """The report's figures by key (``differences``, ``curves-…``), as plotly figures.

        Raises:
            ConfigError: the theme is neither light nor dark.
        """
        from plotly.graph_objects import Figure

        from nin_exp.report.page import SECTIONS

        colours = _colours(theme)
        sections = [section for build in SECTIONS if (section := build(self.analysis)) is not None]
        shown = {}
        for figure in (figure for section in sections for figure in section.figures):
            layout = _painted(figure.layout, colours) | {
                "title": {"text": figure.title},
                "height": figure.height + 60,
                "paper_bgcolor": colours["--surface"],
                "plot_bgcolor": colours["--surface"],
                "font": {"color": colours["--ink"]},
                "margin": {"t": 60},
            }
            shown[figure.key] = Figure(_painted(figure.data, colours), layout)
        return shown

    def run(self, job_id: str) -> TrainedRun:
        """One run, opened, by its job id or the start of one.

        Raises:
            ConfigError: there is none, or it has not finished.
        """
        ids = [run.job.job_id for run in self.runs]
        found = [one for one in ids if one.startswith(job_id)]
        if len(found) != 1:
            raise ConfigError(
                f"'{job_id}' must be the start of one job id of {self.path}, fits {len(found)}.{nearest(job_id, ids)}"
            )
        return load_run(self.path / found[0])

    def trained_runs(self) -> Iterator[TrainedRun]:
        """The runs that are done, opened one after the other."""
        return (load_run(run.run_dir) for run in self.runs if run.state == "done")

    def report(self) -> Path:
        """Build the report anew from the run directories; returns its page.

        Raises:
            StorageError: the files cannot be written.
        """
        return build_report(self.path).html


def _row(run: Run) -> dict[str, Any]:
    job, record = run.job, run.record
    return {
        "job_id": job.job_id,
        "arm": job.arm,
        "block": job.block,
        "seed": job.seed,
        "state": run.state,
        **{f"choice:{key}": value for key, value in job.choices.items()},
        **({} if record is None else record.metrics),
        **{name: None if record is None else getattr(record, name) for name in RECORD_COLUMNS},
        "flags": "" if record is None else " ".join(record.flags),
        "error": run.problem,
    }


def _colours(theme: Theme) -> dict[str, str]:
    """The colour tokens of the report's style sheet."""
    if theme not in ("light", "dark"):
        raise ConfigError(f"theme must be light or dark, got '{theme}'")
    style = importlib.resources.files("nin_exp.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
    return {name: light if theme == "light" else dark for name, light, dark in _TOKEN.findall(style)}


def _painted(value: Any, colours: dict[str, str]) -> Any:
    """A figure's data with the tokens of colours resolved, as the page's script does it."""
    if isinstance(value, str) and value.startswith("--"):
        colour = colours[value.removesuffix("-band")]
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red}, {green}, {blue}, 0.16)" if value.endswith("-band") else colour
    if isinstance(value, list | tuple):
        return [_painted(item, colours) for item in value]
    if isinstance(value, dict):
        return {name: _painted(item, colours) for name, item in value.items()}
    return value
