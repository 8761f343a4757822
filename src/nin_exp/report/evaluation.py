"""What ``evaluation.level=full`` measured, from each run's ``evaluation.json``: curves, and where the networks look."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nin_exp.report.collect import Run, number
from nin_exp.stats.scores import ScoreSummary, summarise

EVALUATION_FILE = "evaluation.json"
LARGEST_BYTES = 4_000_000
LOCALISATION = ("pointing_acc", "box_energy", "box_iou")


@dataclass(frozen=True)
class AveragedCurve:
    """Values over a changed image, summarised over runs; ``points`` are x and the summary of what was measured."""

    points: tuple[tuple[float, ScoreSummary], ...]


@dataclass(frozen=True)
class Robustness:
    """The measures of an arm in a block, over its runs; empty where none was made.

    Args:
        curves: by name, such as ``shift/acc``.
        localisation: by kind of map, then by name, such as ``pointing_acc``; ``box_area`` beside them.
    """

    arm: str
    block: str
    num_runs: int
    curves: dict[str, AveragedCurve]
    localisation: dict[str, dict[str, ScoreSummary]]
    box_area: float | None


def read_evaluation(run_dir: Path | str) -> dict[str, Any] | None:
    """Read ``evaluation.json``; None where it is missing or damaged."""
    path = f"{run_dir}/{EVALUATION_FILE}"
    if not os.access(path, os.R_OK):  # most runs have none, and a hundred thousand may be asked
        return None
    try:
        if os.path.getsize(path) > LARGEST_BYTES:  # noqa: PTH202
            return None
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def summarise_robustness(arm: str, block: str, runs: Iterable[Run]) -> Robustness | None:
    """Average the measures of the finished runs; None where no run has any."""
    contents = [content for run in runs if run.state == "done" and (content := read_evaluation(run.folder))]
    curves: dict[str, dict[float, list[float]]] = {}
    maps: dict[str, dict[str, list[float]]] = {}
    areas: list[float] = []
    for content in contents:
        for name, x, y in _curves(content):
            for place, value in zip(x, y, strict=False):
                at, measured = number(place), number(value)
                if at is not None and measured is not None:
                    curves.setdefault(name, {}).setdefault(at, []).append(measured)
        located = _node(content, "localisation")
        area = number(located.get("box_area"))
        areas += [] if area is None else [area]
        for kind in ("cam", "class_maps", "grad_cam"):
            for name in LOCALISATION:
                value = number(_node(located, kind).get(name))
                if value is not None:
                    maps.setdefault(kind, {}).setdefault(name, []).append(value)
    if not curves and not maps:
        return None
    averaged = {
        name: AveragedCurve(tuple((x, summarise(values)) for x, values in sorted(points.items())))
        for name, points in curves.items()
    }
    localisation = {k: {name: summarise(values) for name, values in found.items()} for k, found in maps.items()}
    return Robustness(arm, block, len(contents), averaged, localisation, sum(areas) / len(areas) if areas else None)


def _curves(content: dict[str, Any]) -> list[tuple[str, Sequence[Any], Sequence[Any]]]:
    shift, resize, corruptions = (_node(content, name) for name in ("shift", "resize", "corruptions"))
    found = [
        ("shift/acc", shift.get("pixels"), shift.get("acc")),
        ("shift/consistency", shift.get("pixels"), shift.get("consistency")),
        ("resize/acc", resize.get("side"), resize.get("acc")),
    ]
    for name in sorted(corruptions):
        curve = _node(corruptions, name)
        found.append((f"corruption/{name}", curve.get("severity"), curve.get("acc")))
    return [(name, x, y) for name, x, y in found if isinstance(x, list) and isinstance(y, list)]


def _node(content: dict[str, Any], key: str) -> dict[str, Any]:
    node = content.get(key)
    return node if isinstance(node, dict) else {}
