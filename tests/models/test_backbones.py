from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, FeatureSpec, Network
from nin_exp.errors import ConfigError, GeometryError
from nin_exp.layers.local import LocallyConnected
from nin_exp.layers.residual import BasicBlock, PaddingShortcut

CIFAR, MNIST, LARGE = ImageSpec(3, 32, 32), ImageSpec(1, 28, 28), ImageSpec(3, 224, 224)
GRAY = ImageSpec(1, 224, 224)


@pytest.mark.parametrize(
    ("backbone", "in_spec", "features"),
    [
        ("lenet", MNIST, FeatureSpec(16, 5, 5)),
        ("lenet_caffe", MNIST, FeatureSpec(50, 4, 4)),
        ("conv_fc", MNIST, FeatureSpec(12, 7, 7)),
        ("mlp", MNIST, FeatureSpec(128, 1, 1)),
        ("alexnet", LARGE, FeatureSpec(256, 6, 6)),
        ("alexnet_small", CIFAR, FeatureSpec(256, 3, 3)),
        ("vgg11", LARGE, FeatureSpec(512, 7, 7)),
        ("vgg19", CIFAR, FeatureSpec(512, 1, 1)),
        ("resnet18", LARGE, FeatureSpec(512, 7, 7)),
        ("resnet18_small", CIFAR, FeatureSpec(512, 4, 4)),
        ("resnet20", CIFAR, FeatureSpec(64, 8, 8)),
        ("googlenet", LARGE, FeatureSpec(1024, 7, 7)),
        ("googlenet_small", CIFAR, FeatureSpec(1024, 8, 8)),
        ("conv_net", CIFAR, FeatureSpec(64, 4, 4)),
        ("nin_imagenet", LARGE, FeatureSpec(384, 6, 6)),
    ],
)
def test_feature_sizes_of_each_backbone(
    choose: Callable[..., Backbone], backbone: str, in_spec: ImageSpec, features: FeatureSpec
) -> None:
    with torch.device("meta"):
        assert choose("backbone", backbone, in_spec).out_spec(in_spec) == features


@pytest.mark.parametrize(
    ("backbone", "overrides", "head", "head_overrides", "in_spec", "classes", "total"),
    [
        # torchvision's counts
        ("alexnet", {}, "mlp", {}, LARGE, 1000, 61_100_840),
        ("alexnet", {}, "mlp", {}, LARGE, 5, 57_024_325),
        # without padding 5x5 places are left of 6x6
        ("alexnet", {"stem": "imagenet_unpadded"}, "mlp", {}, LARGE, 1000, 61_100_840 - 256 * 11 * 4096),
        ("vgg11", {}, "mlp", {}, LARGE, 1000, 132_863_336),
        ("vgg13", {}, "mlp", {}, LARGE, 1000, 133_047_848),
        ("vgg16", {}, "mlp", {}, LARGE, 1000, 138_357_544),
        ("vgg19", {}, "mlp", {}, LARGE, 1000, 143_667_240),
        ("vgg11_bn", {}, "mlp", {}, LARGE, 1000, 132_868_840 - 2_752),  # without the 2,752 useless biases
        ("resnet18", {}, "gap_linear", {}, LARGE, 1000, 11_689_512),
        ("resnet34", {}, "gap_linear", {}, LARGE, 1000, 21_797_672),
        ("googlenet", {"wide_kernel": 3}, "gap_linear", {}, LARGE, 1000, 6_624_904),
        # the published Caffe net without its auxiliary classifiers
        ("googlenet", {"batch_norm": False}, "gap_linear", {}, LARGE, 1000, 6_998_552),
        # kuangliu/pytorch-cifar; He et al. section 4.2 with options A and B (B: osmr/imgclsmob)
        ("resnet18_small", {}, "gap_linear", {}, CIFAR, 10, 11_173_962),
        ("resnet20", {}, "gap_linear", {}, CIFAR, 10, 269_722),
        ("resnet20", {"shortcut": "projection"}, "gap_linear", {}, CIFAR, 10, 272_474),
        # the usual PyTorch LeNet-5; Caffe's LeNet
        ("lenet", {}, "mlp", {"hidden": [120, 84]}, MNIST, 10, 61_706),
        ("lenet_caffe", {}, "mlp", {"hidden": [500]}, MNIST, 10, 431_080),
        # by hand: 60 + 660 + 588*512 + 512 + 512*128 + 128 + 1290
        ("conv_fc", {}, "mlp", {"hidden": [512, 128]}, MNIST, 10, 369_242),
        ("mlp", {}, "gap_linear", {}, MNIST, 10, 784 * 512 + 512 + 512 * 128 + 128 + 1290),
        # NiN for large images: 7.99 MB with five classes
        ("nin_imagenet", {}, "gap", {}, LARGE, 5, 1_997_953),
        ("nin_imagenet", {}, "gap", {}, LARGE, 10, 2_015_398),
        ("nin_imagenet", {}, "gap", {}, LARGE, 1000, 7_439_608),
        ("nin_imagenet", {}, "fc", {}, LARGE, 5, 1_997_953 + 905),
        ("nin_imagenet", {}, "mlp", {}, LARGE, 5, 75_409_605),
        ("nin_imagenet", {}, "mlp", {}, LARGE, 10, 75_430_090),
        ("nin_imagenet", {"paddings": [0, 2, 1]}, "gap", {}, GRAY, 10, 1_992_166),
        ("nin_imagenet", {"paddings": [0, 2, 1]}, "fc", {}, GRAY, 10, 1_992_166 + 2_510),
        ("nin_imagenet", {"paddings": [0, 2, 1]}, "mlp", {}, GRAY, 10, 58_105_354),
        # 4,864 + 2 * 102,464 in the trunk; 16 places of 10 * (576 + 1)
        ("conv_net", {}, "gap", {}, CIFAR, 10, 4_864 + 2 * 102_464 + 16 * 10 * 577),
        ("conv_net", {}, "fc", {}, CIFAR, 10, 4_864 + 2 * 102_464 + 16 * 10 * 577 + 1_610),
        ("conv_net", {"local_maps": False}, "gap", {}, CIFAR, 10, 4_864 + 2 * 102_464 + 650),
    ],
)
def test_parameter_counts_of_each_backbone(
    choose: Callable[..., Backbone],
    network_of: Callable[..., Network],
    backbone: str,
    overrides: dict[str, Any],
    head: str,
    head_overrides: dict[str, Any],
    in_spec: ImageSpec,
    classes: int,
    total: int,
) -> None:
    with torch.device("meta"):
        trunk = choose("backbone", backbone, in_spec, **overrides)
        network = network_of(trunk, head, in_spec, classes, **head_overrides)
    assert sum(parameter.numel() for parameter in network.parameters()) == total


@pytest.mark.parametrize(("name", "kind"), [("lenet", nn.Tanh), ("lenet_caffe", nn.ReLU), ("conv_fc", nn.Tanh)])
def test_layers_of_lenets(choose: Callable[..., Backbone], name: str, kind: type[nn.Module]) -> None:
    pool = nn.AvgPool2d if name == "lenet" else nn.MaxPool2d
    assert [type(layer) for layer in choose("backbone", name, MNIST).children()] == [nn.Conv2d, kind, pool] * 2


def test_activation_of_the_mlp_backbone(choose: Callable[..., Backbone]) -> None:
    layers = choose("backbone", "mlp", MNIST, activation="sigmoid").get_submodule("layers").children()
    assert [type(layer) for layer in layers] == [nn.Linear, nn.Sigmoid] * 2


def test_rounding_and_dropout_of_nin_imagenet(choose: Callable[..., Backbone]) -> None:
    """224 without padding: 54, then 27, 13, 6 rounded up, against 26, 12, 5."""
    with torch.device("meta"):
        up = choose("backbone", "nin_imagenet", LARGE, paddings=[0, 2, 1], ceil_mode=True)
        down = choose("backbone", "nin_imagenet", LARGE, paddings=[0, 2, 1], dropouts=[0.1, 0.2, 0.3])
    assert up.out_spec(LARGE) == FeatureSpec(384, 6, 6)
    assert down.out_spec(LARGE) == FeatureSpec(384, 5, 5)
    assert [layer.p for layer in down.modules() if isinstance(layer, nn.Dropout)] == [0.1, 0.2, 0.3]


def test_five_by_five_branches_are_five_by_five(choose: Callable[..., Backbone]) -> None:
    """The reduction to 1x1 windows in a published port loses the receptive field."""
    with torch.device("meta"):
        googlenet = choose("backbone", "googlenet", LARGE)
    kernels = [
        tuple(layer.kernel_size for layer in block.modules() if isinstance(layer, nn.Conv2d))
        for name, block in googlenet.named_children()
        if name.startswith("inception")
    ]
    assert kernels == [((1, 1), (1, 1), (3, 3), (1, 1), (5, 5), (1, 1))] * 9


def test_locally_connected_layer_against_a_loop() -> None:
    spec = FeatureSpec(2, 4, 5)
    layer = LocallyConnected(spec, 3, kernel_size=3).double()
    images = torch.randn(2, 2, 4, 5, dtype=torch.float64)
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    weights = layer.weights.weight.detach().reshape(4, 5, 3, 2, 3, 3)
    biases = layer.weights.bias
    assert biases is not None
    expected = torch.zeros(2, 3, 4, 5, dtype=torch.float64)
    for row in range(4):
        for column in range(5):
            window = padded[:, :, row : row + 3, column : column + 3]
            products = (window[:, None] * weights[row, column]).sum((2, 3, 4))
            expected[:, :, row, column] = products + biases.detach().reshape(4, 5, 3)[row, column]
    torch.testing.assert_close(layer(images), expected)
    with pytest.raises(GeometryError, match="locally connected layer must get 2x4x5, got 2x5x5"):
        layer(torch.zeros(1, 2, 5, 5, dtype=torch.float64))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 5)])
def test_padding_shortcut(height: int, width: int) -> None:
    images = torch.randn(2, 3, height, width)
    out = PaddingShortcut(extra_channels=2, stride=2)(images)
    assert out.shape == (2, 5, (height + 1) // 2, (width + 1) // 2)
    assert torch.equal(out[:, :3], nn.functional.max_pool2d(images, 1, 2, ceil_mode=True))
    assert (out[:, 3:] == 0).all()


@pytest.mark.parametrize("shortcut", ["projection", "padding"])
def test_residual_block_adds_its_shortcut(shortcut: Any) -> None:
    block = BasicBlock(3, 6, stride=2, shortcut=shortcut).eval()
    with torch.no_grad():
        block.norm2.weight.zero_()  # the branch gives nothing, the shortcut alone is left
    images = torch.randn(2, 3, 7, 7)
    torch.testing.assert_close(block(images), torch.relu(block.shortcut(images)))


def test_mlp_backbone_fits_one_size(choose: Callable[..., Backbone]) -> None:
    backbone = choose("backbone", "mlp", MNIST)
    with pytest.raises(GeometryError, match="MLPBackbone was built for images of 1x28x28, got 1x32x32"):
        backbone.out_spec(ImageSpec(1, 32, 32))
    with pytest.raises(GeometryError, match=r"backbone\.layers\.hidden1 must get 1x28x28, got 1x32x32"):
        backbone(torch.zeros(1, 1, 32, 32))


def test_conv_net_refuses_too_small_images(choose: Callable[..., Backbone]) -> None:
    with pytest.raises(GeometryError, match=r"pool1 \(kernel 3, padding 0\).*smallest image that fits is 8x8"):
        choose("backbone", "conv_net", ImageSpec(3, 1, 1))


def test_alexnet_says_what_would_fit(choose: Callable[..., Backbone]) -> None:
    with pytest.raises(GeometryError, match=r"^pool5 \(kernel 3, padding 0\) must fit its input, got 1x1 .* is 63x63"):
        choose("backbone", "alexnet", CIFAR, width=0.1).out_spec(CIFAR)


@pytest.mark.parametrize(
    "name", ["alexnet_small", "vgg11", "resnet20", "googlenet_small", "lenet_caffe", "mlp", "conv_net", "nin_imagenet"]
)
def test_width_multiplier(choose: Callable[..., Backbone], name: str) -> None:
    spec = ImageSpec(3, 96, 96)
    with torch.device("meta"):
        full, half = (choose("backbone", name, spec, width=width) for width in (1.0, 0.5))
    assert half.num_features == max(8, full.num_features // 2)
    sizes = [sum(p.numel() for p in backbone.parameters()) for backbone in (full, half)]
    assert sizes[1] < 0.55 * sizes[0]


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("lenet", {"paddings": [2]}, r"backbone\.widths, kernel_sizes and paddings must have one entry for each"),
        ("mlp", {"hidden": []}, r"backbone\.hidden must list at least one layer, got \[\]"),
        (
            "alexnet",
            {"widths": [1, 2]},
            r"backbone\.widths must have 5 entries, one for each convolution, got \[1, 2\]",
        ),
        ("vgg11", {"stages": [[8], []]}, r"backbone\.stages must list at least one width for each stage"),
        ("resnet20", {"blocks": [3]}, r"backbone\.widths and blocks must have one entry a stage"),
        ("resnet20", {"widths": [64, 32, 16]}, r"backbone\.widths must not fall with shortcut=padding"),
        ("googlenet", {"wide_kernel": 4}, r"backbone\.wide_kernel must be odd, got 4"),
        ("conv_net", {"pool_kinds": ["max"]}, r"backbone\.pool_kinds must have 3 entries, one for each width"),
        ("conv_net", {"kernel_size": 4}, r"backbone\.kernel_size must be odd, got 4"),
        ("nin_imagenet", {"strides": [4]}, r"backbone\.strides must have 3 entries, one for each width, got \[4\]"),
    ],
)
def test_contradicting_arguments_are_refused(
    choose: Callable[..., Backbone], name: str, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        choose("backbone", name, CIFAR, **overrides)
