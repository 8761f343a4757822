"""Write the pictures of ``predict --save`` and ``explain --out``."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nin_exp.inference.explain import Explanation, MapKind
from nin_exp.inference.maps import BOX_SHARE, bounding_box, first_filters
from nin_exp.inference.pictures import (
    CELL,
    captioned,
    filter_grid,
    heat_map,
    magnified,
    overlay,
    scaled,
    sheet,
)
from nin_exp.inference.predict import Unreadable
from nin_exp.inference.run import TrainedRun
from nin_exp.records.files import atomic_write

MAX_COLUMNS = 10
"""Classes in a row of maps: all of CIFAR-10's, as in the paper's figure 4; of more the most probable."""

MAX_ROWS = 20
"""Images in one sheet of maps; further ones go to ``class_maps-2.png`` …"""

_TITLES: dict[MapKind, str] = {"cam": "CAM", "grad_cam": "Grad-CAM"}


def save_pictures(folder: Path, explanations: Iterable[Explanation | Unreadable]) -> int:
    """One picture an image, the map of the predicted class laid over it; returns how many.

    Raises:
        StorageError: the folder cannot be written.
    """
    names = _Names()
    count = 0
    for explanation in explanations:
        if isinstance(explanation, Unreadable):
            continue
        found = explanation
        title = f"{found.class_name} {found.probability:.1%} ({_TITLES[found.kinds[0]]})"
        cells = [
            captioned(magnified(found.image, CELL), Path(found.name).name),
            _overlaid(found, found.kinds[0], title),
        ]
        _write(folder / names.take(found.name), sheet([cells]))
        count += 1
    return count


def save_explanations(folder: Path, run: TrainedRun, explanations: Sequence[Explanation]) -> list[Path]:
    """A picture an image, a sheet of class maps (the paper's figure 4), and the first layer's filters.

    Raises:
        StorageError: the folder cannot be written.
    """
    names, written = _Names(("class_maps", "filters")), []
    for found in explanations:
        cells = [captioned(magnified(found.image, CELL), Path(found.name).name)]
        title = f"{found.class_name} {found.probability:.1%}"
        cells += [_overlaid(found, kind, f"{_TITLES[kind]}: {title}") for kind in found.kinds]
        written.append(_write(folder / names.take(found.name), sheet([cells])))
    rows = [_map_row(found) for found in explanations if found.class_maps is not None]
    for page, start in enumerate(range(0, len(rows), MAX_ROWS), start=1):
        name = "class_maps.png" if page == 1 else f"class_maps-{page}.png"
        written.append(_write(folder / name, sheet(rows[start : start + MAX_ROWS])))
    filters = first_filters(run.network, run.input_spec.image_spec)
    if filters is not None:
        written.append(_write(folder / "filters.png", filter_grid(filters)))
    return written


def _overlaid(found: Explanation, kind: MapKind, title: str) -> Image.Image:
    heat = found.heat(kind)
    return captioned(overlay(found.image, scaled(heat), bounding_box(heat, BOX_SHARE), CELL), title)


def _map_row(found: Explanation) -> list[Image.Image]:
    """The image, then its maps on one scale; the class that is explained in bold."""
    assert found.class_maps is not None
    names, probabilities = found.prediction.class_names, found.prediction.probabilities
    shown = range(len(names))
    if len(names) > MAX_COLUMNS:
        shown = sorted(np.argsort(-probabilities, kind="stable")[:MAX_COLUMNS].tolist())  # type: ignore[assignment]
    picture = magnified(found.image, CELL)
    highest = float(found.class_maps.max())
    cells = [captioned(picture, Path(found.name).name)]
    for index in shown:
        heat = heat_map(scaled(found.class_maps[index], highest), picture.width, picture.height)
        title = f"{names[index]} {probabilities[index]:.1%}"
        cells.append(captioned(heat, title, bold=names[index] == found.class_name))
    return cells


def _write(path: Path, picture: Image.Image) -> Path:
    content = io.BytesIO()
    picture.save(content, "PNG")
    with atomic_write(path) as file:
        file.write(content.getvalue())
    return path


class _Names:
    """File names of pictures: the image's own, numbered where two folders hold the same."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def take(self, name: str) -> str:
        stem = Path(name).stem.replace(" ", "_") or "image"
        free, number = stem, 2
        while free.lower() in self._taken:  # some file systems do not tell A from a
            free, number = f"{stem}-{number}", number + 1
        self._taken.add(free.lower())
        return f"{free}.png"
