"""The dashboard's pages; every value is escaped by the templates, or set as text by the page's script."""

from __future__ import annotations

import importlib.resources
import json
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from nin_exp.report.text import plain_text


def render_live(name: str, nonce: str) -> str:
    """The page that watches a study."""
    return _render("live.html.j2", nonce, name=name)


def render_list(names: list[str], nonce: str) -> str:
    """The list of studies."""
    return _render("list.html.j2", nonce, names=names)


def render_run(study: str, run: dict[str, Any], nonce: str) -> str:
    """The page of one run."""
    text = json.dumps(run["series"], allow_nan=False)
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return _render("run.html.j2", nonce, study=study, run=run, series=Markup(safe))


def _render(template: str, nonce: str, **values: Any) -> str:
    style = _asset("nin_exp.report", "report.css") + _asset("nin_exp.dashboard", "dashboard.css")
    return (
        _environment()
        .get_template(template)
        .render(nonce=nonce, style=Markup(style), script=Markup(_asset("nin_exp.dashboard", "dashboard.js")), **values)
    )


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
