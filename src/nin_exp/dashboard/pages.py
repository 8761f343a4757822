"""The dashboard's pages; every value is escaped by the templates, or set as text by the page's script."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from nin_exp.report.text import plain_text

RUN_COLUMNS = (
    ("job_id", "job", False),
    ("arm", "arm", False),
    ("block", "block", False),
    ("seed", "seed", True),
    ("state", "state", False),
    ("epoch", "epoch", True),
    ("score", "score", True),
)
"""Of the table of runs: the key to sort by, the title, whether it holds numbers."""


def render_overview(names: Sequence[str], nonce: str) -> str:
    """Several studies side by side."""
    return _render("overview", nonce, names=names)


def render_live(name: str, nonce: str, *, is_one_of_many: bool) -> str:
    """The page that watches a study."""
    return _render("live", nonce, name=name, is_one_of_many=is_one_of_many, columns=RUN_COLUMNS)


def render_report(name: str, nonce: str) -> str:
    """The report of a study, drawn anew when a run ends."""
    return _render("report", nonce, name=name)


def render_run(study: str, run: dict[str, Any], nonce: str) -> str:
    """The page of one run."""
    text = json.dumps(run["charts"], allow_nan=False)
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return _render("run", nonce, study=study, run=run, charts=Markup(safe))


def _render(page: str, nonce: str, **values: Any) -> str:
    style = _asset("nin_exp.report", "report.css") + _asset("nin_exp.dashboard", "dashboard.css")
    script = _asset("nin_exp.dashboard", "common.js") + _asset("nin_exp.dashboard", f"{page}.js")
    template = _environment().get_template(f"{page}.html.j2")
    return template.render(nonce=nonce, style=Markup(style), script=Markup(script), **values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("nin_exp.dashboard"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: Any) -> Any:
    return plain_text(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _asset(package: str, name: str) -> str:
    return importlib.resources.files(package).joinpath("templates", name).read_text(encoding="utf-8")
