"""With torchvision's weights copied over, the backbones give torchvision's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, FeatureSpec, Head
from nin_exp.layers.init import initialise

pytestmark = pytest.mark.slow  # importing torchvision takes longer than all fast tests of this folder
LARGE = ImageSpec(3, 224, 224)


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy by order: both nets define their layers in the order of use."""
    values = list(source.state_dict().values())
    names = list(target.state_dict())
    assert len(values) == len(names)
    target.load_state_dict(dict(zip(names, values, strict=True)))


def varied(module: nn.Module) -> nn.Module:
    """Weights and running statistics that differ in every layer, so that none can be swapped unseen."""
    generator = torch.Generator().manual_seed(0)
    initialise(module, "kaiming", 0.05, generator)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.normal_(0, 0.1, generator=generator)
                layer.running_var.uniform_(0.5, 1.5, generator=generator)
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.normal_(0, 0.1, generator=generator)
    return module.eval()


def images(side: int) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def features_of(reference: Any, names: tuple[str, ...]) -> nn.Sequential:
    return nn.Sequential(*(getattr(reference, name) for name in names))


RESNET = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
GOOGLENET = (
    *("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3"),
    *("inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4"),
    *("inception5a", "inception5b"),
)


@pytest.mark.parametrize(
    ("name", "overrides", "layers", "side"),
    [
        ("alexnet", {}, ("features",), 127),
        ("vgg11", {}, ("features",), 65),
        ("vgg13", {}, ("features",), 33),
        ("vgg16", {}, ("features",), 40),
        ("vgg19", {}, ("features",), 32),
        ("resnet18", {}, RESNET, 97),
        ("resnet34", {}, RESNET, 64),
        ("googlenet", {"wide_kernel": 3, "last_pool_kernel": 2}, GOOGLENET, 97),
    ],
)
def test_features_are_torchvisions(
    choose: Callable[..., Backbone], name: str, overrides: dict[str, Any], layers: tuple[str, ...], side: int
) -> None:
    from torchvision import models

    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):  # the dense layers of VGG are never filled
        reference = getattr(models, name)(weights=None, **extra)
    features = varied(features_of(reference, layers).to_empty(device="cpu"))
    backbone = choose("backbone", name, ImageSpec(3, side, side), **overrides)
    copy_weights(features, backbone)
    with torch.no_grad():
        expected, ours = features(images(side)), backbone.eval()(images(side))
    assert expected.std() > 1e-3
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_vgg_with_batch_norm_is_torchvisions_without_the_useless_biases(choose: Callable[..., Backbone]) -> None:
    """A bias before batch norm moves its mean, and nothing else."""
    from torchvision import models

    with torch.device("meta"):
        reference = models.vgg11_bn(weights=None)
    features = varied(reference.features.to_empty(device="cpu"))
    backbone = choose("backbone", "vgg11_bn", ImageSpec(3, 64, 64))
    theirs = [layer for layer in features if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d))]
    ours = [layer for layer in backbone.modules() if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d))]
    with torch.no_grad():
        for conv, norm, our_conv, our_norm in zip(theirs[::2], theirs[1::2], ours[::2], ours[1::2], strict=True):
            conv.bias.normal_(0, 0.1, generator=torch.Generator().manual_seed(2))
            our_conv.weight.copy_(conv.weight)
            our_norm.load_state_dict(norm.state_dict())
            our_norm.running_mean.sub_(conv.bias)
        expected, found = features(images(64)), backbone.eval()(images(64))
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_alexnet_with_the_mlp_head_is_torchvisions_net(choose: Callable[..., Any]) -> None:
    from torchvision import models

    reference = varied(models.alexnet(weights=None, num_classes=5))
    backbone: Backbone = choose("backbone", "alexnet", LARGE)
    assert backbone.out_spec(LARGE) == FeatureSpec(256, 6, 6)
    head: Head = choose("head", "mlp", FeatureSpec(256, 6, 6), 5, backbone.class_map_block)
    copy_weights(reference.features, backbone)
    copy_weights(reference.classifier, head)
    with torch.no_grad():
        expected, ours = reference(images(224)), head.eval()(backbone.eval()(images(224)))
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_resnet_with_gap_linear_is_torchvisions_net(choose: Callable[..., Any]) -> None:
    from torchvision import models

    reference = varied(models.resnet18(weights=None, num_classes=7))
    backbone: Backbone = choose("backbone", "resnet18", LARGE)
    head: Head = choose("head", "gap_linear", backbone.out_spec(LARGE), 7, backbone.class_map_block)
    copy_weights(features_of(reference, RESNET), backbone)
    copy_weights(reference.fc, head)
    with torch.no_grad():
        expected, ours = reference(images(160)), head.eval()(backbone.eval()(images(160)))
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
