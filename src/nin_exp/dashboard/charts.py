"""Learning curves as JSON values, for the small pictures that a page's script draws."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from nin_exp.report.collect import Curve
from nin_exp.report.metric import Metric

MOST_POINTS = 120

Style = Literal["main", "second", "pair", "pair-second"]
"""How a line is drawn: of this run or of its pair (dashed), of the split one looks at first or of the other."""


def line(curve: Curve | None, key: str, label: str, style: Style) -> dict[str, Any] | None:
    """A metric over the epochs, thinned; accuracies in percent. None where there is nothing to draw."""
    if curve is None or key not in curve.values:
        return None
    keep = np.unique(np.linspace(0, curve.epochs.size - 1, min(MOST_POINTS, curve.epochs.size)).round().astype(int))
    values = (curve.values[key][keep] * Metric(key).scale).tolist()
    pairs = zip(curve.epochs[keep].tolist(), values, strict=True)
    points = [[epoch, float(f"{value:.4g}")] for epoch, value in pairs if not math.isnan(value)]
    return {"label": label, "style": style, "points": points} if points else None


def chart(title: str, unit: str, lines: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    """A picture of the lines there are; None without any."""
    found = [one for one in lines if one is not None]
    return {"title": title, "unit": unit, "lines": found} if found else None
