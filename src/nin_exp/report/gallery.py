"""Test images worth looking at: what one arm gets right and the other wrong, and where each of them looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nin_exp.report.classes import class_names
from nin_exp.report.examples import CellExamples, ContrastExamples
from nin_exp.report.panels import Panel, find_panel, read_class_maps
from nin_exp.report.pictures import Picture, image_picture, overlay_picture, strip_picture

EACH_WAY = 5
"""Images shown of those that an arm gets right more often, and as many of those that the other does."""

MOST_MAPS = 10
STRIP_SIDE = 36
ROOM = 1000
"""Pixels for the strips of all arms side by side: on a wide screen none is cut off."""


@dataclass(frozen=True)
class Answer:
    """What an arm says of an image.

    Args:
        num_right: seeds that get it right. seed: whose answer and class map are shown.
        picture: the image with the class map of the answer; None without class maps.
    """

    arm: str
    num_right: int
    num_seeds: int
    seed: int
    name: str
    is_right: bool
    picture: Picture | None


@dataclass(frozen=True)
class Disagreement:
    """An image that the arms answer differently; ``index`` is its position in the split."""

    index: int
    true_name: str
    picture: Picture
    answers: tuple[Answer, ...]


def find_disagreements(contrast: ContrastExamples) -> tuple[list[Disagreement], list[Disagreement]]:
    """Images of the panel that the arm gets right in more seeds than the baseline, and the other way round.

    The largest differences first; empty where no panel was kept.
    """
    panel = find_panel((*contrast.arm.runs, *contrast.baseline.runs), contrast.arm.labels)
    if panel is None:
        return [], []
    arm = contrast.arm.correct[list(contrast.arm_rows)].sum(axis=0)[panel.indices].astype(np.int64)
    baseline = contrast.baseline.correct[list(contrast.baseline_rows)].sum(axis=0)[panel.indices].astype(np.int64)
    lead = arm - baseline
    order = np.argsort(-np.abs(lead), kind="stable")
    for_arm = [int(row) for row in order if lead[row] > 0][:EACH_WAY]
    against = [int(row) for row in order if lead[row] < 0][:EACH_WAY]
    return [_disagreement(contrast, panel, row) for row in for_arm], [
        _disagreement(contrast, panel, row) for row in against
    ]


def _disagreement(contrast: ContrastExamples, panel: Panel, row: int) -> Disagreement:
    index = int(panel.indices[row])
    names = class_names(contrast.arm.runs, contrast.arm.num_classes)
    true = names[int(panel.labels[row])]
    # The first pair of networks of which one is right and the other wrong.
    right = contrast.arm.correct[list(contrast.arm_rows), index]
    other = contrast.baseline.correct[list(contrast.baseline_rows), index]
    pair = int(np.flatnonzero(right != other)[0])
    sides = ((contrast.baseline, contrast.baseline_rows), (contrast.arm, contrast.arm_rows))
    return Disagreement(
        index=index,
        true_name=true,
        picture=image_picture(panel.images[row], f"Test image {index}, {true}"),
        answers=tuple(_answer(cell, rows, pair, panel, row) for cell, rows in sides),
    )


def _answer(cell: CellExamples, rows: tuple[int, ...], pair: int, panel: Panel, row: int) -> Answer:
    index, run = int(panel.indices[row]), cell.runs[rows[pair]]
    said = int(cell.predicted[rows[pair], index])
    name = class_names(cell.runs, cell.num_classes)[said]
    maps = read_class_maps(run.run_dir, panel.indices[row : row + 1])
    picture = None
    if maps is not None and said < maps.shape[1]:
        picture = overlay_picture(panel.images[row], maps[0, said], f"Class map of {name}, seed {run.job.seed}")
    right = cell.correct[list(rows), index]
    return Answer(cell.arm, int(right.sum()), len(rows), run.job.seed, name, bool(right[pair]), picture)


@dataclass(frozen=True)
class MapRow:
    """The class maps of one image, a strip an arm; ``classes`` are those shown, in their order."""

    true_name: str
    picture: Picture
    classes: tuple[str, ...]
    strips: tuple[tuple[str, Picture], ...]


def find_map_rows(cells: list[CellExamples], most: int) -> list[MapRow]:
    """Class maps of some images, one of each class first, as figure 4 of the paper shows them.

    Each arm's maps are those of its first seed. Of more than ``MOST_MAPS`` classes the true one is shown, and those
    with the strongest maps.

    Args:
        cells: of one block. most: images.
    """
    if not cells:
        return []
    panel = find_panel([run for cell in cells for run in cell.runs], cells[0].labels)
    if panel is None:
        return []
    _, first = np.unique(panel.labels, return_index=True)
    rows = np.array([*first.tolist(), *(r for r in range(len(panel.labels)) if r not in set(first.tolist()))])[:most]
    maps = {}
    for cell in cells:
        found = read_class_maps(cell.runs[0].run_dir, panel.indices[rows])
        if found is not None:
            maps[cell.arm] = found
    names = class_names(cells[0].runs, max(cell.num_classes for cell in cells))
    return [_map_row(panel, int(row), place, maps, names) for place, row in enumerate(rows)] if maps else []


def _map_row(panel: Panel, row: int, place: int, maps: dict[str, NDArray[np.float32]], names: list[str]) -> MapRow:
    true = int(panel.labels[row])
    num_classes = min(len(names), *(found.shape[1] for found in maps.values()))
    shown = list(range(num_classes))
    if num_classes > MOST_MAPS:
        strongest = np.argsort(-sum(found[place, :num_classes].max(axis=(1, 2)) for found in maps.values()))
        others = [int(number) for number in strongest if number != true]
        shown = sorted([true, *others[: MOST_MAPS - 1]])
    classes = tuple(names[number] for number in shown)
    marked = shown.index(true) if true in shown else None
    side = max(STRIP_SIDE // 2, min(STRIP_SIDE, ROOM // (len(maps) * len(shown))))
    strips = tuple(
        (arm, strip_picture(found[place, shown], marked, side, _spoken(arm, found[place, shown], classes)))
        for arm, found in maps.items()
    )
    return MapRow(names[true], image_picture(panel.images[row], f"Test image of {names[true]}"), classes, strips)


def _spoken(arm: str, maps: NDArray[np.float32], classes: tuple[str, ...]) -> str:
    highest = maps.max(axis=(1, 2))
    if highest.max() <= 0:
        return f"{arm}: no class map has any evidence"
    return f"{arm}: the strongest map is that of {classes[int(highest.argmax())]}"
