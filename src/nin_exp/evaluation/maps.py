"""Where a network saw a class: class maps, CAM, Grad-CAM, and a box around the place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from nin_exp.contracts.model import Head, Network
from nin_exp.layers.global_pool import GlobalAveragePool, GlobalMaxPool

FloatMap = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom exclusive."""

BOX_SHARE = 0.2
"""Of the maximum: what a box holds (Zhou et al. 2016, arXiv 1512.04150, section 3.2)."""

_GLOBAL_POOLS = (GlobalAveragePool, GlobalMaxPool, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


@torch.inference_mode()
def class_maps(network: Network, inputs: Tensor) -> Tensor | None:
    """The last maps, one a class, float32 ``(B, K, h, w)`` on the CPU; None for a head without them.

    Args:
        inputs: normalised images ``(B, C, H, W)``.
    """
    maps = network.class_maps(inputs)
    return None if maps is None else maps.float().cpu()


def has_cam(head: Head) -> bool:
    """Whether the class maps are class activation maps: a global pool makes the logits, so a place keeps its class.

    The paper's FC head mixes the places and classes of its maps in a dense layer; its maps explain no logit.
    """
    return any(isinstance(layer, _GLOBAL_POOLS) for layer in head.modules())


def grad_cam(network: Network, inputs: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM at the backbone's last feature maps (Selvaraju et al. 2017, arXiv 1610.02391, section 3).

    Each feature map is weighted by the mean of the logit's gradient over its places; negative sums become 0. Any
    head will do.

    Args:
        inputs: normalised images ``(B, C, H, W)``.
        classes: int64 ``(B,)``, whose logits are explained.

    Returns:
        float32 ``(B, h, w)`` on the CPU.
    """
    with torch.no_grad():
        features = network.backbone(inputs)
    with torch.enable_grad():
        features = features.detach().requires_grad_(True)
        logits = network.head(features)
        chosen = logits.gather(1, classes.to(logits.device)[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, features)
    weights = gradient.mean((2, 3), keepdim=True)
    maps: Tensor = (weights * features.detach()).sum(1).relu()
    return maps.float().cpu()


def enlarge(values: FloatMap, width: int, height: int) -> FloatMap:
    """A map ``(h, w)`` at the size of its image, bilinear."""
    if values.shape == (height, width):
        return values
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)


def bounding_box(values: FloatMap, share: float) -> Box | None:
    """The box around the largest connected region above ``share`` of the maximum; None for a map without evidence.

    Regions are connected along their sides; of regions of one size the one with the greater sum is taken.

    Args:
        values: ``(H, W)`` at the image's size.
        share: in [0, 1).
    """
    from scipy import ndimage

    highest = float(values.max())
    if not highest > 0:
        return None
    labels, count = ndimage.label(values > share * highest)
    regions = range(1, count + 1)
    sizes = ndimage.sum_labels(np.ones_like(values), labels, regions)
    sums = ndimage.sum_labels(values, labels, regions)
    largest = max(range(count), key=lambda region: (sizes[region], sums[region]))
    rows, columns = ndimage.find_objects(labels)[largest]
    return int(columns.start), int(rows.start), int(columns.stop), int(rows.stop)
