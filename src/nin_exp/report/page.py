"""The report as one HTML page that makes no request.

A new section is a module in ``sections`` with a function ``section(analysis)``, a template of the same name, and
its place in ``SECTIONS``. Every value is escaped by the templates; scripts and styles are our own, and the
page's policy lets no others run, which holds even if an escape were missed.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from nin_exp.report.analysis import Analysis
from nin_exp.report.figures.figure import Figure
from nin_exp.report.section import Section
from nin_exp.report.sections import (
    accuracy,
    across,
    all_pairs,
    all_runs,
    calibration,
    class_maps,
    classes,
    costs,
    curves,
    differences,
    disagreements,
    methods,
    problems,
    provenance,
    published,
    robustness,
    seeds,
    test_examples,
    tuning,
    verdict,
)
from nin_exp.report.sections.problems import STATES
from nin_exp.report.text import plain_text

SECTIONS: tuple[Callable[[Analysis], Section | None], ...] = (
    verdict.section,
    tuning.section,
    accuracy.section,
    published.section,
    differences.section,
    across.section,
    test_examples.section,
    seeds.section,
    curves.section,
    costs.section,
    disagreements.section,
    class_maps.section,
    classes.section,
    calibration.section,
    robustness.section,
    all_pairs.section,
    problems.section,
    all_runs.section,
    methods.section,
    provenance.section,
)
ENTRIES = {
    "accuracy": "Accuracy",
    "differences": "Differences",
    "across": "All data sets",
    "test_examples": "Test examples",
    "costs": "Costs",
    "disagreements": "Disagreements",
    "classes": "Classes",
    "robustness": "Changed images",
    "all_pairs": "All pairs",
    "problems": "Problems",
}
"""Entries in the contents of sections whose title is long: the contents should not fill the first screen."""

_NEGATIVE = re.compile(r"(^|[\s(])-(?=\d)")


def render_page(analysis: Analysis) -> str:
    """Render the page. The same analysis always gives the same text."""
    environment = _environment()
    sections = [section for build in SECTIONS if (section := build(analysis)) is not None]
    shown = [
        {
            "key": section.key,
            "title": section.title,
            "entry": ENTRIES.get(section.key, section.title),
            "html": _render_section(environment, section),
        }
        for section in sections
    ]
    style, scripts = _asset("report.css"), [plotly_js(), _asset("report.js")]
    return environment.get_template("page.html.j2").render(
        title=f"{analysis.study.name}: report",
        study_name=analysis.study.name,
        status=_status(analysis),
        has_verdict=sections[0].key == "verdict",
        sections=shown,
        figure_data=Markup(_json([figure for section in sections for figure in section.figures])),
        style=_inline(style),
        plotly_style=_inline(PLOTLY_STYLE),
        scripts=[_inline(script) for script in scripts],
        policy=_policy([style, PLOTLY_STYLE], scripts),
    )


PLOTLY_STYLE = "/* plotly.js adds its rules here: a sheet that it made itself would be refused. */"


def _policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    """The page's Content Security Policy: nothing is fetched, and only the scripts and styles given run."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src-elem {' '.join(map(_hash, styles))}",
            "style-src-attr 'unsafe-inline'",  # plotly.js writes style attributes; no template of ours does
            "img-src data: blob:",  # saving a figure draws it through an image
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inline(text: str) -> Markup:
    """Mark an asset of our own as safe, after checking that it cannot end its element."""
    lowered = text.lower()
    if "</script" in lowered or "</style" in lowered or "<!--" in lowered or "\r" in text:
        raise ValueError("a script or style for the page must not hold </script, </style, <!-- or carriage returns")
    return Markup(text)


def _status(analysis: Analysis) -> str:
    parts = [f"{analysis.states[state]} {name}" for state, name in STATES.items() if analysis.states.get(state)]
    return f"{len(analysis.runs)} planned run{'' if len(analysis.runs) == 1 else 's'}: {', '.join(parts) or 'none'}"


def _render_section(environment: jinja2.Environment, section: Section) -> Markup:
    template = environment.get_template(f"sections/{section.key}.html.j2")
    macros = environment.get_template("macros.html.j2").module
    return Markup(template.render(macros=macros, **section.values))


def _json(figures: Iterable[Figure]) -> str:
    """The figures' data for a script element: no character in it can end the element."""
    values = {figure.key: {"data": figure.data, "layout": figure.layout, "height": figure.height} for figure in figures}
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nin_exp.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tidy"] = _tidy
    return environment


def _tidy(text: object) -> str:
    """Typeset our own sentences: a true minus sign, and no break between a number and its unit or sign."""
    signed = _NEGATIVE.sub("\\1−", str(text))
    return signed.replace("p = ", "p\u00a0=\u00a0").replace("p < ", "p\u00a0<\u00a0").replace(" %", "\u00a0%")


def _finalize(value: Any) -> Any:
    """Clean every text that a template shows; what is marked safe is our own."""
    return plain_text(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value


def _asset(name: str) -> str:
    return importlib.resources.files("nin_exp.report").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def plotly_js() -> str:
    """plotly.js, its partial bundle of charts with axes: a third of the whole (see ``vendor/README.md``)."""
    return (
        importlib.resources.files("nin_exp.report")
        .joinpath("vendor", "plotly-cartesian.min.js")
        .read_text(encoding="utf-8")
    )
