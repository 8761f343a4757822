"""The classes of a run, from its ``per_class.json``: how many of each it gets right, and what it takes them for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nin_exp.report.collect import number
from nin_exp.report.metric import Metric

PER_CLASS_FILE = "per_class.json"
LARGEST_BYTES = 2_000_000
MOST_CLASSES = 20
"""Of a confusion matrix that is shown as a table; of more the commonest mistakes are listed."""

MOST_MISTAKES = 12


@dataclass(frozen=True)
class Confusion:
    """The test split's confusion matrix; ``cells`` are counts and a strength of 0 to 10, a row a true class.

    Args:
        mistakes: of too many classes for a table: true class, answer, how often; the commonest first.
    """

    names: list[str]
    cells: list[list[tuple[int, int]]]
    mistakes: list[tuple[str, str, int]]


def read_confusion(run_dir: Path) -> Confusion | None:
    """The confusion matrix of the test split; None where it was not kept."""
    content = _read_per_class(run_dir)
    try:
        names, matrix = [str(name) for name in content["class_names"]], np.array(content["test"]["confusion"])
    except (KeyError, TypeError, ValueError):
        return None
    if matrix.shape != (len(names), len(names)) or matrix.dtype.kind not in "iu" or matrix.size == 0:
        return None
    if len(names) <= MOST_CLASSES:
        shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
        levels = np.ceil(10 * np.clip(shares, 0, 1)).astype(int)
        rows = zip(matrix.tolist(), levels.tolist(), strict=True)
        return Confusion(names, [list(zip(counts, level, strict=True)) for counts, level in rows], [])
    wrong = matrix * (1 - np.eye(len(names), dtype=int))
    places = np.argsort(-wrong, axis=None, kind="stable")[:MOST_MISTAKES].tolist()
    pairs = [divmod(place, len(names)) for place in places]
    return Confusion([], [], [(names[t], names[a], int(wrong[t, a])) for t, a in pairs if wrong[t, a] > 0])


def read_classes(run_dir: Path) -> list[tuple[str, str, str]]:
    """Name, number of examples and accuracy of each class on test; empty where that was not kept."""
    content = _read_per_class(run_dir)
    try:
        test = content["test"]
        rows = list(zip(content["class_names"], test["num_examples"], test["acc"], strict=True))
    except (ValueError, KeyError, TypeError):
        return []
    return [(str(name), str(size), Metric("test/acc").score(number(share))) for name, size, share in rows]


def _read_per_class(run_dir: Path) -> Any:
    path = run_dir / PER_CLASS_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size <= LARGEST_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return {}
