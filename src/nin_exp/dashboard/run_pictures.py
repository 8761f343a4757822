"""Test images of a run with its class maps laid over them: those it gets wrong first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nin_exp.report.classes import class_names
from nin_exp.report.collect import Run
from nin_exp.report.panels import find_panel, read_class_maps
from nin_exp.report.pictures import Picture, image_picture, overlay_picture
from nin_exp.report.predictions import read_predictions

MOST_PICTURES = 12


@dataclass(frozen=True)
class PanelPicture:
    """An image of the panel.

    Args:
        answer: the class that the run says. overlay: the image with that class's map; None where no maps were kept.
    """

    index: int
    true_name: str
    answer: str
    is_right: bool
    picture: Picture
    overlay: Picture | None


def panel_pictures(run: Run) -> list[PanelPicture]:
    """Images of the run's panel, the wrong answers first; empty where no panel or no predictions were kept."""
    predictions = read_predictions(run.run_dir, "test")
    panel = None if predictions is None else find_panel([run], predictions.labels)
    if predictions is None or panel is None:
        return []
    said = predictions.predicted[panel.indices]
    is_right = said == panel.labels
    rows = np.argsort(is_right, kind="stable")[:MOST_PICTURES]
    maps = read_class_maps(run.run_dir, panel.indices[rows])
    names = class_names((run,), int(max(predictions.labels.max(), predictions.predicted.max())) + 1)
    found = []
    for place, row in enumerate(rows.tolist()):
        answer, true = int(said[row]), int(panel.labels[row])
        overlay = None
        if maps is not None and answer < maps.shape[1]:
            overlay = overlay_picture(panel.images[row], maps[place, answer], f"Class map of {names[answer]}")
        index = int(panel.indices[row])
        image = image_picture(panel.images[row], f"Test image {index}, {names[true]}")
        found.append(PanelPicture(index, names[true], names[answer], bool(is_right[row]), image, overlay))
    return found
