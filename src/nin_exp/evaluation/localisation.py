"""Whether a network looks at the object: its map of the true class against the true box."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from nin_exp.contracts.model import Network
from nin_exp.evaluation.maps import BOX_SHARE, Box, bounding_box, class_maps, grad_cam, has_cam
from nin_exp.module.evaluate import Batch

_NAMES = ("pointing_acc", "box_energy", "box_iou")


def localise(network: Network, batches: Iterable[Batch], boxes: npt.NDArray[np.int64]) -> dict[str, Any]:
    """How well the maps of the true class find the true box.

    For each kind of map there is (``grad_cam`` for every head; ``cam`` where a global pool makes the logits;
    ``class_maps`` of a head that mixes them in a dense layer, which explain no logit and are shown for comparison):
    ``pointing_acc``, the share of images whose highest place lies in the box (Zhang et al. 2018, arXiv 1608.00507,
    section 4.2, without their margin); ``box_energy``, the mean share of the positive map inside it (Wang et al. 2020,
    arXiv 1910.01279, section 4.3); ``box_iou``, the mean intersection over union with the box around what lies above
    20 % of the maximum (Zhou et al. 2016, arXiv 1512.04150, section 3.2). A map without evidence counts as 0.

    Args:
        batches: normalised images, labels, and positions in ``boxes``.
        boxes: ``(N, 4)`` left, top, right, bottom; right and bottom exclusive.

    Returns:
        ``best``, the kind to go by; the kinds; and ``box_area``, the mean share of an image that its box covers,
        which is what a map that knows nothing reaches in ``pointing_acc`` and ``box_energy``.
    """
    was_training = network.training
    network.eval()
    scores: dict[str, list[tuple[float, float, float]]] = {}
    areas = []
    try:
        for images, labels, positions in batches:
            true = boxes[positions.cpu().numpy()]
            size = (images.shape[2], images.shape[3])
            areas += [_area(_box(row)) / (size[0] * size[1]) for row in true]
            for kind, maps in _maps(network, images, labels).items():
                large = functional.interpolate(maps[:, None], size, mode="bilinear")[:, 0].numpy()
                rows = [_score(values, _box(row)) for values, row in zip(large, true, strict=True)]
                scores.setdefault(kind, []).extend(rows)
    finally:
        network.train(was_training)
    means = {k: dict(zip(_NAMES, np.mean(rows, axis=0).tolist(), strict=True)) for k, rows in scores.items()}
    return {"best": "cam" if "cam" in means else "grad_cam", **means, "box_area": float(np.mean(areas))}


def localisation_metrics(found: dict[str, Any]) -> dict[str, float]:
    """``test/pointing_acc``, ``test/box_energy`` and ``test/box_iou`` of the kind to go by, ``test/grad_cam_*`` of all.

    Heads are compared by the latter: the kind to go by is not the same for all of them.
    """
    kinds = {"": found[found["best"]], "grad_cam_": found["grad_cam"]}
    return {f"test/{prefix}{name}": scores[name] for prefix, scores in kinds.items() for name in _NAMES}


def _maps(network: Network, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Maps of the true classes, float32 ``(B, h, w)`` on the CPU."""
    maps = {"grad_cam": grad_cam(network, images, labels)}
    found = class_maps(network, images)
    if found is not None:
        kind = "cam" if has_cam(network.head) else "class_maps"
        maps[kind] = found[torch.arange(len(labels)), labels.cpu()].clone()
    return maps


def _box(row: npt.NDArray[np.int64]) -> Box:
    left, top, right, bottom = (int(value) for value in row)
    return left, top, right, bottom


def _area(box: Box) -> int:
    left, top, right, bottom = box
    return max(0, right - left) * max(0, bottom - top)


def _score(values: npt.NDArray[np.float32], true: Box) -> tuple[float, float, float]:
    """Pointing, energy and intersection over union of one map ``(H, W)`` at the image's size."""
    left, top, right, bottom = true
    positive = np.maximum(values, 0).astype(np.float64)
    found = bounding_box(values, BOX_SHARE)
    if found is None:
        return 0.0, 0.0, 0.0
    row, column = divmod(int(values.argmax()), values.shape[1])
    points = left <= column < right and top <= row < bottom
    energy = positive[top:bottom, left:right].sum() / positive.sum()
    common = _area((max(left, found[0]), max(top, found[1]), min(right, found[2]), min(bottom, found[3])))
    return float(points), float(energy), common / (_area(true) + _area(found) - common)
