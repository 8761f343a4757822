"""The maps of single images, and what the first layer looks for."""

from __future__ import annotations

from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Network
from nin_exp.evaluation.maps import (
    BOX_SHARE,
    Box,
    FloatMap,
    bounding_box,
    class_maps,
    enlarge,
    grad_cam,
    has_cam,
)

__all__ = [
    "BOX_SHARE",
    "Box",
    "FloatMap",
    "bounding_box",
    "class_maps",
    "enlarge",
    "first_filters",
    "grad_cam",
    "has_cam",
]


def first_filters(network: Network, spec: ImageSpec) -> FloatMap | None:
    """What the first layer looks for, ``(F, C, h, w)``: windows of a convolution, whole images for a dense layer.

    None where the first layer with weights is of another kind.
    """
    for layer in network.backbone.modules():
        if isinstance(layer, nn.Conv2d) and layer.in_channels == spec.channels:
            return layer.weight.detach().float().cpu().numpy()
        if isinstance(layer, nn.Linear):
            if layer.in_features != spec.channels * spec.height * spec.width:
                return None
            shape = (layer.out_features, spec.channels, spec.height, spec.width)
            return layer.weight.detach().float().cpu().reshape(shape).numpy()
    return None
