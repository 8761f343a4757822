"""Class maps: where in the image a class was seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nin_exp.contracts.model import ClassMapBlock, FeatureSpec
from nin_exp.errors import GeometryError


def activation_maps(features: Tensor, classifier: nn.Linear) -> Tensor:
    """Class activation maps (Zhou et al. 2016, arXiv 1512.04150): the classifier at every place.

    Args:
        features: ``(B, C, H, W)``.
        classifier: C to K, applied after global pooling.

    Returns:
        ``(B, K, H, W)``; their mean over places is the classifier's output for mean-pooled features.
    """
    return functional.conv2d(features, classifier.weight[:, :, None, None], classifier.bias)


def class_map_spec(in_spec: FeatureSpec, num_classes: int, block: ClassMapBlock) -> FeatureSpec:
    """The shape of the class maps, found by a pass on the meta device (no memory, no random numbers).

    Raises:
        GeometryError: the block does not fit the features.
    """
    with torch.device("meta"):
        probe = block(num_classes)
        if (
            isinstance(probe, nn.Conv2d)
            and probe.kernel_size == (1, 1)
            and probe.stride == (1, 1)
            and probe.padding == (0, 0)
        ):
            # the usual block: torch takes half a second to load what its first pass on the meta device needs
            return FeatureSpec(probe.out_channels, in_spec.height, in_spec.width)
        try:
            _, channels, height, width = probe(torch.empty(1, in_spec.channels, in_spec.height, in_spec.width)).shape
        except RuntimeError as error:
            raise GeometryError(
                f"head.class_map_block must fit the features, got {in_spec} ({str(error).splitlines()[0]});"
                " use a larger dataset.image_size or a head without class maps"
            ) from None
    return FeatureSpec(channels, height, width)


def last_weighted_layer(module: nn.Module) -> nn.Module:
    """The last layer with parameters of its own inside a module (the module itself when it has them)."""
    weighted = [layer for layer in module.modules() if any(True for _ in layer.parameters(recurse=False))]
    return weighted[-1] if weighted else module
