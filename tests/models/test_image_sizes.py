"""Every backbone with every head at the usual image sizes, and every scheme of initial weights in every backbone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone
from nin_exp.errors import GeometryError
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.init import WEIGHTED, Scheme, initialise

SIDES = (28, 32, 64, 224)
# Backbones that shrink small images to nothing; every other one takes 28 pixels.
SMALLEST = {
    **dict.fromkeys(("alexnet", "nin_imagenet"), 63),
    **dict.fromkeys(("vgg11", "vgg11_bn", "vgg13", "vgg16", "vgg19"), 32),
    "googlenet": 31,
}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_head_at_each_size(
    choose: Callable[..., Any], choices: Callable[[str], list[str]], backbone_name: str, side: int, channels: int
) -> None:
    """On the meta device: shapes alone, also of 400 M parameters."""
    spec = ImageSpec(channels, side, side)
    with torch.device("meta"):
        backbone = choose("backbone", backbone_name, spec)
        smallest = SMALLEST.get(backbone_name, 1)
        if side < smallest:
            with pytest.raises(GeometryError, match=rf"must fit its input.*that fits is {smallest}x{smallest}"):
                backbone.out_spec(spec)
            return
        features_spec = backbone.out_spec(spec)
        features = backbone(torch.empty(2, channels, side, side))
        for head_name in choices("head"):
            head = choose("head", head_name, features_spec, 10, backbone.class_map_block)
            assert head(features).shape == (2, 10), head_name


@pytest.mark.parametrize(
    ("name", "layer", "fits"),
    # by hand: 63 -> 15 -> 7 -> 3 -> 1 for AlexNet; five halvings for VGG
    [("alexnet", "pool5", 63), ("vgg11", "pool5", 32), ("lenet", "pool2", 12), ("lenet_caffe", "pool2", 16)],
)
def test_misfits_name_the_layer_and_the_smallest_size(
    choose: Callable[..., Backbone], name: str, layer: str, fits: int
) -> None:
    with torch.device("meta"):
        backbone = choose("backbone", name, ImageSpec(3, fits, fits))
    assert min(backbone.out_spec(ImageSpec(3, fits, fits)).height, 1) == 1
    message = rf"{layer} \(kernel .*got .* from an image of {fits - 1}x{fits - 1}; .*that fits is {fits}x{fits}"
    with pytest.raises(GeometryError, match=message):
        backbone.out_spec(ImageSpec(3, fits - 1, fits - 1))


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
def test_real_pixels_at_each_size(
    choose: Callable[..., Any], read: Callable[..., Any], backbone_name: str, side: int
) -> None:
    """Not on the meta device, at a quarter of the width: a step through backbone and both paper heads."""
    spec = ImageSpec(3, side, side)
    smaller = {"width": 0.25, "name": "resnet10t"}
    overrides = {key: value for key, value in smaller.items() if key in read("backbone", backbone_name)[1]}
    if side < SMALLEST.get(backbone_name, 1):
        pytest.skip("too few pixels: test_every_head_at_each_size has the message")
    backbone = choose("backbone", backbone_name, spec, **overrides)
    initialise(backbone, "kaiming", 0.05, torch.Generator().manual_seed(0))
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(side))
    features: Tensor = backbone.eval()(images)
    expected = backbone.out_spec(spec)
    assert features.shape == (2, expected.channels, expected.height, expected.width)
    for head_name in ("gap", "fc"):
        head = choose("head", head_name, expected, 10, backbone.class_map_block)
        logits = head(features)
        assert logits.isfinite().all()
        (gradient,) = torch.autograd.grad(logits.sum(), features, retain_graph=True)
        assert gradient.isfinite().all()
        assert (gradient != 0).any()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_each_scheme_reaches_every_layer_of_a_backbone(
    choose: Callable[..., Backbone], read: Callable[..., Any], backbone_name: str, scheme: Scheme
) -> None:
    smaller = {"width": 0.25, "name": "resnet10t"}
    overrides = {key: value for key, value in smaller.items() if key in read("backbone", backbone_name)[1]}
    backbone = choose("backbone", backbone_name, ImageSpec(3, 64, 64), **overrides)
    layers = {name: layer for name, layer in backbone.named_modules() if isinstance(layer, WEIGHTED)}
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.fill_(7.0)
    assert initialise(backbone, scheme, 0.05, torch.Generator().manual_seed(0)) == list(layers)
    for name, parameter in backbone.named_parameters():
        assert not (parameter == 7.0).any(), f"{name} was not reached"
    for name, layer in layers.items():
        assert layer.weight.std() > 0, name
        if layer.bias is not None and scheme != "torch":
            assert (layer.bias == 0).all(), name


def test_the_table_of_smallest_images_is_complete(choices: Callable[[str], list[str]]) -> None:
    assert set(SMALLEST) <= set(choices("backbone"))


def test_a_chain_tells_its_smallest_image(choose: Callable[..., Backbone], backbone_name: str) -> None:
    """The size in the message is the truth: it fits, one pixel less does not (or there is none)."""
    with torch.device("meta"):
        backbone = choose("backbone", backbone_name, ImageSpec(3, 256, 256))
    if not isinstance(backbone, ChainBackbone):
        return
    small = next(side for side in range(1, 257) if _fits(backbone, side))
    assert all(_fits(backbone, side) for side in range(small, min(small + 40, 256)))
    if small > 1:
        with pytest.raises(GeometryError, match=f"smallest image that fits is {small}x{small}"):
            backbone.out_spec(ImageSpec(3, small - 1, small - 1))


def _fits(backbone: Backbone, side: int) -> bool:
    try:
        backbone.out_spec(ImageSpec(3, side, side))
    except GeometryError:
        return False
    return True


def test_layers_with_weights_are_all_known(choose: Callable[..., Backbone], backbone_name: str) -> None:
    """A layer with parameters that `initialise` does not know would keep torch's global random numbers."""
    with torch.device("meta"):
        backbone = choose("backbone", backbone_name, ImageSpec(3, 64, 64))
    known = (*WEIGHTED, nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    unknown = [
        name
        for name, layer in backbone.named_modules()
        if any(True for _ in layer.parameters(recurse=False)) and not isinstance(layer, known)
    ]
    assert unknown == []
