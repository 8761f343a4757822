"""Write the pictures of ``predict --save`` and ``explain --out``."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from nin_exp.inference.explain import Explanation, MapKind
from nin_exp.inference.maps import BOX_SHARE, bounding_box, first_filters
from nin_exp.inference.pictures import (
    CELL,
    Cell,
    filter_grid,
    heat_map,
    magnified,
    overlay,
    placed_box,
    scaled,
    sheet,
)
from nin_exp.inference.prediction import Unreadable
from nin_exp.inference.run import TrainedRun
from nin_exp.inference.svg import svg_picture, svg_sheet
from nin_exp.inference.text import printable
from nin_exp.records.files import atomic_write, write_text

PictureFormat = Literal["png", "svg"]

MAX_COLUMNS = 10
"""Classes in a row of maps: all of CIFAR-10's, as in the paper's figure 4; of more the most probable."""

MAX_ROWS = 20
"""Images in one sheet of maps; further ones go to ``class_maps-2.png`` …"""

# Of the 255 bytes that a file name may have; the rest is for numbers, the ending, and the file while it is written.
_LONGEST_STEM = 150
_TITLES: dict[MapKind, str] = {"cam": "CAM", "grad_cam": "Grad-CAM"}


def save_pictures(folder: Path, explanations: Iterable[Explanation | Unreadable]) -> int:
    """One picture an image, the map of the predicted class laid over it; returns how many.

    Raises:
        StorageError: the folder cannot be written.
    """
    names = _Names()
    count = 0
    for found in explanations:
        if isinstance(found, Unreadable):
            continue
        title = f"{found.class_name} {found.probability:.1%} ({_TITLES[found.kinds[0]]})"
        _write_sheet(
            folder, names.take(found.name), [[_plain(found), _overlaid(found, found.kinds[0], title)]], ("png",)
        )
        count += 1
    return count


def save_explanations(
    folder: Path, run: TrainedRun, explanations: Sequence[Explanation], formats: Sequence[PictureFormat] = ("png",)
) -> list[Path]:
    """A picture an image, a sheet of class maps (the paper's figure 4), and the first layer's filters.

    Raises:
        StorageError: the folder cannot be written.
    """
    names, written = _Names(("class_maps", "filters")), []
    for found in explanations:
        title = f"{found.class_name} {found.probability:.1%}"
        cells = [_plain(found), *(_overlaid(found, kind, f"{_TITLES[kind]}: {title}") for kind in found.kinds)]
        written += _write_sheet(folder, names.take(found.name), [cells], formats)
    rows = [_map_row(found) for found in explanations if found.class_maps is not None]
    for page, start in enumerate(range(0, len(rows), MAX_ROWS), start=1):
        name = "class_maps" if page == 1 else f"class_maps-{page}"
        written += _write_sheet(folder, name, rows[start : start + MAX_ROWS], formats)
    filters = first_filters(run.network, run.input_spec.image_spec)
    if filters is not None:
        grid = filter_grid(filters)
        for kind in formats:
            written.append(_write(folder / f"filters.{kind}", grid if kind == "png" else svg_picture(grid)))
    return written


def _plain(found: Explanation) -> Cell:
    return Cell(magnified(found.image, CELL), Path(found.name).name)


def _overlaid(found: Explanation, kind: MapKind, title: str) -> Cell:
    heat = found.heat(kind)
    picture, box = overlay(found.image, scaled(heat), CELL), bounding_box(heat, BOX_SHARE)
    height, width = found.image.shape[:2]
    return Cell(picture, title, box=None if box is None else placed_box(box, width, height, picture))


def _map_row(found: Explanation) -> list[Cell]:
    """The image, then its maps on one scale; the class that is explained in bold."""
    assert found.class_maps is not None
    names, probabilities = found.prediction.class_names, found.prediction.probabilities
    shown: Sequence[int] = range(len(names))
    if len(names) > MAX_COLUMNS:
        shown = sorted(np.argsort(-probabilities, kind="stable")[:MAX_COLUMNS].tolist())
    cells = [_plain(found)]
    picture, highest = cells[0].picture, float(found.class_maps.max())
    for index in shown:
        heat = heat_map(scaled(found.class_maps[index], highest), picture.width, picture.height)
        is_explained = names[index] == found.class_name
        cells.append(Cell(heat, f"{names[index]} {probabilities[index]:.1%}", is_bold=is_explained))
    return cells


def _write_sheet(
    folder: Path, name: str, rows: Sequence[Sequence[Cell]], formats: Sequence[PictureFormat]
) -> list[Path]:
    written = []
    for kind in formats:
        drawn = sheet([[cell.drawn() for cell in row] for row in rows]) if kind == "png" else svg_sheet(rows)
        written.append(_write(folder / f"{name}.{kind}", drawn))
    return written


def _write(path: Path, picture: Image.Image | str) -> Path:
    if isinstance(picture, str):
        write_text(path, picture)
        return path
    content = io.BytesIO()
    picture.save(content, "PNG")
    with atomic_write(path) as file:
        file.write(content.getvalue())
    return path


class _Names:
    """Names of pictures, without ending: the image's own, numbered where two folders hold the same."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def take(self, name: str) -> str:
        plain = printable(Path(name).stem).replace("?", "_").replace(" ", "_")
        stem = plain.encode("utf-8")[:_LONGEST_STEM].decode("utf-8", "ignore") or "image"
        free, number = stem, 2
        while free.lower() in self._taken:  # some file systems do not tell A from a
            free, number = f"{stem}-{number}", number + 1
        self._taken.add(free.lower())
        return free
