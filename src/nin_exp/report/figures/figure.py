"""A figure as plain data for plotly.js, and what all figures share.

Colours are tokens such as ``--arm-0``: the page's style sheet holds them, and its script puts in the values of
the light or dark theme. The plotly package itself is not imported; the page carries plotly.js.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nin_exp.report.text import plotly_text

Trace = dict[str, Any]

NUM_ARM_COLOURS = 8
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star")
DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Args:
        key: part of its id in the page; letters, digits and dashes.
        description: what a reader who cannot see it is told.
        height: in CSS pixels.
        legend: what the marks mean, as glyph and words; empty where the figure itself holds a legend. The glyphs are
            drawn by the style sheet: dot, diamond, thick, thin, band.
    """

    key: str
    title: str
    caption: str
    description: str
    data: list[Trace]
    layout: dict[str, Any]
    height: int
    legend: tuple[tuple[str, str], ...] = ()


def arm_colour(index: int) -> str:
    """Colour token of an arm by its place among the arms."""
    return f"--arm-{index % NUM_ARM_COLOURS}"


def arm_band(index: int) -> str:
    """The same colour, nearly transparent."""
    return f"--arm-{index % NUM_ARM_COLOURS}-band"


def arm_symbol(index: int) -> str:
    """Marker of an arm: colour alone does not reach every reader."""
    return SYMBOLS[index % len(SYMBOLS)]


def arm_dash(index: int) -> str:
    """Line style of an arm; changes where colours repeat and between neighbours."""
    return DASHES[index % len(DASHES)]


def numbers(values: Iterable[float | None]) -> list[float | None]:
    """Round to six significant digits, which halves the page; None leaves a gap."""
    return [None if value is None or math.isnan(value) else float(f"{value:.6g}") for value in values]


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """An axis in the page's style."""
    return {
        "title": {"text": plotly_text(title, longest=80), "standoff": 8, "font": {"size": 13}},
        "ticks": "",
        "gridcolor": "--grid",
        "linecolor": "--axis",
        "tickcolor": "--axis",
        "zeroline": False,
        "showline": True,
        "automargin": True,
        **settings,
    }


def layout(
    x: dict[str, Any], y: dict[str, Any], *, has_legend: bool, annotations: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """A figure's layout in the page's style; the page's script adds fonts and colours of the theme."""
    return {
        "xaxis": x,
        "yaxis": y,
        "showlegend": has_legend,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "margin": {"l": 8, "r": 12, "t": 28 if has_legend else 12, "b": 8},
        "hovermode": "closest",
        "annotations": list(annotations),
    }
