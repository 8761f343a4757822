from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import FeatureSpec
from nin_exp.errors import GeometryError
from nin_exp.heads.fc import FC
from nin_exp.layers.geometry import (
    output_size,
    receptive_field,
    smallest_image,
    trace_size,
    window_of,
    windows_along,
)


def main_path(name: str) -> bool:
    return False


def torch_sizes(layer: nn.Module, height: int, width: int) -> tuple[int, int] | None:
    """The size that torch gives, or None when it refuses."""
    try:
        out = layer(torch.zeros(1, 1, height, width))
    except RuntimeError:
        return None
    return out.shape[-2], out.shape[-1]


@settings(max_examples=300, deadline=None)
@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 5),
    padding=st.integers(0, 3),
    kind=st.sampled_from(["conv", "max", "avg"]),
    ceil_mode=st.booleans(),
)
def test_output_size_is_torchs(
    height: int, width: int, kernel: int, stride: int, padding: int, kind: str, ceil_mode: bool
) -> None:
    if kind == "conv":
        layer: nn.Module = nn.Conv2d(1, 1, kernel, stride, padding)
    else:
        padding = min(padding, kernel // 2)  # torch's own rule for pools
        pool = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
        layer = pool(kernel, stride, padding, ceil_mode=ceil_mode)
    window = window_of("layer", layer)
    assert window is not None
    expected = torch_sizes(layer, height, width)
    ours = window.output(height, width)
    if expected is None:
        assert min(ours) < 1
    else:
        assert ours == expected


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_dilated_convolutions_and_pools(dilation: int) -> None:
    for layer in (
        nn.Conv2d(1, 1, 3, 2, 1, dilation=dilation),
        nn.MaxPool2d(3, 2, 1, dilation=dilation, ceil_mode=True),
    ):
        window = window_of("layer", layer)
        assert window is not None
        assert window.output(17, 20) == torch_sizes(layer, 17, 20)


@pytest.mark.parametrize(
    ("size", "ceil_mode", "expected"),
    # the author's NiN: 32, 16, 8 and 28, 14, 7; rounding down gives 15 and 7 from 32
    [
        (32, True, 16),
        (16, True, 8),
        (28, True, 14),
        (14, True, 7),
        (32, False, 15),
        (15, False, 7),
        (28, False, 13),
    ],
)
def test_three_by_two_pools(size: int, ceil_mode: bool, expected: int) -> None:
    assert output_size(size, kernel=3, stride=2, padding=0, dilation=1, ceil_mode=ceil_mode) == expected


def test_rectangular_windows_and_same_padding() -> None:
    stack = nn.Sequential(
        nn.Conv2d(1, 2, (3, 5), (1, 2), (0, 1)), nn.Conv2d(2, 2, 3, padding="same"), nn.MaxPool2d((2, 1))
    )
    assert trace_size(windows_along(stack, main_path), 12, 15) == torch_sizes(stack, 12, 15)


def test_error_names_layer_sizes_and_smallest_image() -> None:
    stack = nn.Sequential()
    stack.add_module("pool1", nn.MaxPool2d(3, 2))
    stack.add_module("block3", nn.Sequential())
    stack.block3.add_module("conv", nn.Conv2d(1, 1, 5))
    windows = windows_along(stack, main_path)
    with pytest.raises(
        GeometryError,
        match=r"^block3\.conv \(kernel 5, padding 0\) must fit its input, got 4x4 from an image of 9x9; "
        r"the smallest image that fits is 11x11: ",
    ):
        trace_size(windows, 9, 9)
    assert trace_size(windows, 11, 11) == (1, 1)
    with pytest.raises(GeometryError, match="got 4x5 from an image of 10x11"):
        trace_size(windows, 10, 11)


def test_smallest_image_is_the_smallest() -> None:
    layers = nn.Sequential(nn.Conv2d(1, 1, 11, 4), nn.MaxPool2d(3, 2), nn.Conv2d(1, 1, (5, 3)), nn.MaxPool2d(3, 2))
    windows = windows_along(layers, main_path)
    smallest = smallest_image(windows)
    assert smallest is not None
    assert torch_sizes(layers, *smallest) == (1, 1)
    assert torch_sizes(layers, smallest[0] - 1, smallest[1]) is None
    assert torch_sizes(layers, smallest[0], smallest[1] - 1) is None


def test_no_smallest_image_within_reach() -> None:
    windows = windows_along(nn.Sequential(nn.Conv2d(1, 1, 5000)), main_path)
    assert smallest_image(windows) is None
    with pytest.raises(GeometryError, match=r"got 32x32 from an image of 32x32: set dataset.image_size"):
        trace_size(windows, 32, 32)


def test_receptive_field_against_gradient() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 1, 5, 2, 0), nn.AvgPool2d(3, 2), nn.Conv2d(1, 1, 3, dilation=2))
    image = torch.randn(1, 1, 64, 64, requires_grad=True)
    out = layers(image)
    out[0, 0, 1, 1].backward()
    assert image.grad is not None
    touched = image.grad[0, 0].abs().sum(1).nonzero().flatten()
    field, step = receptive_field(windows_along(layers, main_path))
    assert int(touched.max() - touched.min()) + 1 == field
    assert int(touched.min()) == step


def test_backbone_refuses_small_images_and_other_channels(choose) -> None:  # type: ignore[no-untyped-def]
    backbone = choose("backbone", "nin_2x2", ImageSpec(3, 32, 32))
    with pytest.raises(
        GeometryError, match=r"^pool2 \(kernel 2, padding 0\).*got 1x1.*smallest image that fits is 4x4"
    ):
        backbone.out_spec(ImageSpec(3, 3, 3))
    with pytest.raises(GeometryError, match="built for images with 3 channels, got 1x32x32"):
        backbone.out_spec(ImageSpec(1, 32, 32))


def test_head_that_does_not_fit() -> None:
    with pytest.raises(GeometryError, match=r"head\.class_map_block must fit the features, got 4x2x2 \("):
        FC(FeatureSpec(4, 2, 2), 3, lambda classes: nn.Conv2d(4, classes, 3), relu=False, dropout=0.0)


@pytest.mark.parametrize("head", ["fc", "fc_dropout", "flatten_linear", "mlp"])
def test_fixed_heads_refuse_other_sizes(network_of, head: str) -> None:  # type: ignore[no-untyped-def]
    network = network_of("nin_mnist", head, ImageSpec(1, 12, 12)).eval()
    expected, got = ("10x3x3", "10x4x4") if head.startswith("fc") else ("96x3x3", "96x4x4")
    with pytest.raises(
        GeometryError, match=rf"^head\.(linear|hidden1) must get {expected}, got {got}; .*global pooling"
    ):
        network(torch.zeros(1, 1, 16, 16))


@pytest.mark.parametrize("head", ["gap", "gap_linear", "gmp_linear"])
def test_pooling_heads_take_any_size(network_of, head: str) -> None:  # type: ignore[no-untyped-def]
    network = network_of("nin_mnist", head, ImageSpec(1, 12, 12)).eval()
    assert network(torch.zeros(2, 1, 17, 23)).shape == (2, 10)
