"""Explanations of single images: the prediction, the maps behind it, and the place they point at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from nin_exp.data.images import UnreadableImageError
from nin_exp.errors import ConfigError, nearest
from nin_exp.inference.images import ImageInput, Levels, OneImage, each_image, fit, name_of, read_levels, to_rgb
from nin_exp.inference.maps import (
    BOX_SHARE,
    Box,
    FloatMap,
    bounding_box,
    class_maps,
    enlarge,
    first_filters,
    grad_cam,
    has_cam,
)
from nin_exp.inference.predict import Predictor
from nin_exp.inference.prediction import Prediction, Unreadable

MapKind = Literal["cam", "grad_cam"]

# Of the sides shown and kept: a photograph's own size would cost memory and show nothing more.
MAX_SIDE = 512


@dataclass(frozen=True)
class Explanation:
    """Where the network saw a class in one image.

    Args:
        prediction: what the network says.
        class_name: the class that is explained: the predicted one unless another was asked for.
        image: uint8 ``(H, W, 3)``, to look at; large images made smaller.
        size: width and height of the image as it was given; boxes are in its pixels.
        class_maps: the last maps, one a class, ``(K, h, w)``; None for heads without them.
        cam: the class's activation map ``(h, w)`` (Zhou et al. 2016); None where no global pool makes the logits.
        grad_cam: ``(h, w)``, at least 0 (Selvaraju et al. 2017); for every head.
    """

    prediction: Prediction
    class_name: str
    image: Levels
    size: tuple[int, int]
    class_maps: FloatMap | None
    cam: FloatMap | None
    grad_cam: FloatMap

    @property
    def name(self) -> str:
        """The path, or ``image N`` by position."""
        return self.prediction.name

    @property
    def probability(self) -> float:
        """Probability of the class that is explained."""
        return float(self.prediction.probabilities[self.prediction.class_names.index(self.class_name)])

    @property
    def kinds(self) -> tuple[MapKind, ...]:
        """The maps there are, the better one first: CAM shows the evidence itself, Grad-CAM a slope."""
        return ("grad_cam",) if self.cam is None else ("cam", "grad_cam")

    def heat(self, kind: MapKind | None = None) -> FloatMap:
        """A map at the size of ``image``; the better one there is unless one is named.

        Raises:
            ConfigError: the head has no CAM.
        """
        values = self.grad_cam if (kind or self.kinds[0]) == "grad_cam" else self.cam
        if values is None:
            raise ConfigError("this head has no CAM: no global pool makes its logits; take grad_cam")
        height, width = self.image.shape[:2]
        return enlarge(values, width, height)

    def box(self, kind: MapKind | None = None) -> Box | None:
        """The box around what lies above 20 % of the maximum, in pixels of the image as given; None without evidence.

        Raises:
            ConfigError: the head has no CAM.
        """
        shown = bounding_box(self.heat(kind), BOX_SHARE)
        if shown is None:
            return None
        height, width = self.image.shape[:2]
        left, top, right, bottom = shown
        across, down = self.size
        return left * across // width, top * down // height, -(-right * across // width), -(-bottom * down // height)


def what_is_missing(predictor: Predictor, found: Explanation, head: str) -> list[str]:
    """What the run's network has no picture of, and why, a sentence each; the same for all its images.

    Args:
        head: the option's name.
    """
    notes = []
    if found.cam is None:
        notes.append(f"head={head} has no CAM: no global pool makes its logits; Grad-CAM is shown")
    if found.class_maps is None:
        notes.append(f"head={head} has no maps, one a class: there is no picture class_maps")
    if found.grad_cam.size == 1:
        notes.append("the backbone's last maps are 1x1: they say what was seen, not where")
    if first_filters(predictor.network, predictor.spec.image_spec) is None:
        notes.append("the first layer is neither a convolution nor dense: there is no picture filters")
    return notes


def explain_each(
    predictor: Predictor, images: ImageInput, class_name: str | None
) -> Iterator[Explanation | Unreadable]:
    """One explanation an image, in order.

    Args:
        class_name: explain this class in each image; None for the predicted one.

    Raises:
        ConfigError: the class is unknown.
    """
    names = predictor.spec.class_names
    if class_name is not None and class_name not in names:
        raise ConfigError(f"'{class_name}' is not a class of the run.{nearest(class_name, names)}")
    target = None if class_name is None else names.index(class_name)
    for position, image in enumerate(each_image(images, predictor.spec.image_spec.channels)):
        name = name_of(image, position)
        try:
            levels = read_levels(image, predictor.spec.image_spec.channels, name)
        except UnreadableImageError as error:
            yield Unreadable(name, str(error).removeprefix(f"{name}: "))
            continue
        yield _explain(predictor, image, levels, name, target)


def _explain(predictor: Predictor, image: OneImage, levels: Levels, name: str, target: int | None) -> Explanation:
    network = predictor.network
    fitted = fit(levels, predictor.spec.image_spec)[None]
    prediction = predictor.prediction(name, predictor.logits(fitted)[0])
    index = prediction.index if target is None else target
    inputs = predictor.inputs(fitted)
    maps = class_maps(network, inputs)
    height, width = levels.shape[:2]
    return Explanation(
        prediction=prediction,
        class_name=predictor.spec.class_names[index],
        image=_to_show(image, name),
        size=(width, height),
        class_maps=None if maps is None else maps[0].numpy(),
        cam=None if maps is None or not has_cam(network.head) else maps[0, index].numpy(),
        grad_cam=grad_cam(network, inputs, torch.tensor([index]))[0].numpy(),
    )


def _to_show(image: OneImage, name: str) -> Levels:
    from PIL import Image

    shown = Image.fromarray(np.ascontiguousarray(to_rgb(image, name)))
    shown.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR)
    return np.array(shown, dtype=np.uint8)
