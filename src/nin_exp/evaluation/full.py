"""What ``evaluation=full`` measures on the test images, and ``evaluation.json``, where it is kept.

The file holds ``schema_version`` (1), ``num_images``, and a part a measure; what does not apply to a run is null:

- ``shift``: lists ``pixels``, ``acc``, ``consistency``, see ``shift.py``;
- ``resize``: lists ``side`` and ``acc`` (null in the list where the network does not take the size), for heads with a
  global pool;
- ``corruptions``: for each of ``gaussian_noise gaussian_blur contrast`` lists ``severity`` and ``acc``;
- ``localisation``: ``best``, ``box_area``, and for each kind of map (``grad_cam``, and ``cam`` or ``class_maps``)
  ``pointing_acc box_energy box_iou``, for data sets with boxes.

The record has a few of the numbers: ``test/shift_acc shift_consistency shift4_acc corrupted_acc pointing_acc
box_energy box_iou``, and the last three with ``grad_cam_`` before their names, which every head has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import ImageArrays
from nin_exp.contracts.model import Network
from nin_exp.evaluation.corruptions import corruption_curves, corruption_metrics
from nin_exp.evaluation.localisation import localisation_metrics, localise
from nin_exp.evaluation.maps import has_cam
from nin_exp.evaluation.predictor import Predict
from nin_exp.evaluation.resize import resize_curve
from nin_exp.evaluation.shift import shift_curve, shift_metrics
from nin_exp.module.evaluate import Batch

EVALUATION_FILE = "evaluation.json"
SCHEMA_VERSION = 1


def measure_fully(
    network: Network,
    predict: Predict,
    batches: Callable[[ImageArrays], Iterable[Batch]],
    arrays: ImageArrays,
    positions: npt.NDArray[np.int64],
) -> tuple[dict[str, Any], dict[str, float]]:
    """Every measure that applies.

    Args:
        batches: normalised batches of some images, in their order.
        arrays: test images.
        positions: theirs in the test split.

    Returns:
        The content of ``evaluation.json``, and the metrics for the record.
    """
    shift = shift_curve(predict, arrays)
    corruptions = corruption_curves(predict, arrays, positions)
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "num_images": len(arrays),
        "shift": shift,
        "resize": resize_curve(predict, arrays) if has_cam(network.head) else None,
        "corruptions": corruptions,
        "localisation": None,
    }
    metrics = {**shift_metrics(shift), **corruption_metrics(corruptions)}
    if arrays.boxes is not None:
        content["localisation"] = localise(network, batches(arrays), arrays.boxes)
        metrics |= localisation_metrics(content["localisation"])
    return content, metrics
