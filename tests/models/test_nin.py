from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, FeatureSpec
from nin_exp.errors import ConfigError

CIFAR, MNIST = ImageSpec(3, 32, 32), ImageSpec(1, 28, 28)


# Computed from the author's definitions; 966,986 and 984,356 are also the counts in osmr/imgclsmob.
@pytest.mark.parametrize(
    ("backbone", "head", "in_spec", "num_classes", "total"),
    [
        ("nin", "gap", CIFAR, 10, 966_986),
        ("nin", "fc", CIFAR, 10, 973_396),
        ("nin", "fc_dropout", CIFAR, 10, 973_396),
        ("nin", "gap_linear", CIFAR, 10, 966_986),
        ("nin", "gmp_linear", CIFAR, 10, 966_986),
        ("nin", "flatten_linear", CIFAR, 10, 1_087_946),
        ("nin", "mlp", CIFAR, 10, 68_123_082),
        ("nin", "gap", CIFAR, 100, 984_356),
        ("nin", "fc", CIFAR, 100, 1_624_456),
        ("nin", "gap", MNIST, 10, 957_386),
        ("nin_cifar100", "gap", CIFAR, 100, 984_356),
        ("nin_2x2", "gap", CIFAR, 10, 966_986),
        ("nin_mnist", "gap", MNIST, 10, 349_674),
        ("nin_mnist", "fc", MNIST, 10, 349_674 + 4_910),
        ("nin_svhn", "gap", CIFAR, 10, 1_986_026),
        ("nin_svhn", "fc", CIFAR, 10, 1_986_026 + 6_410),
        # bias-free convolutions: one bias becomes a scale and a shift, 1,408 trunk channels
        ("nin_bn", "gap", CIFAR, 10, 966_986 + 1_408),
    ],
)
def test_parameter_counts(
    count_on_meta: Callable[..., int],
    backbone: str,
    head: str,
    in_spec: ImageSpec,
    num_classes: int,
    total: int,
) -> None:
    assert count_on_meta(backbone, head, in_spec, num_classes) == total


@pytest.mark.parametrize(("hidden", "total"), [([512], 7_262_154), ([1024, 1024], 14_608_842), ([], 1_087_946)])
def test_parameter_counts_of_other_mlp_heads(count_on_meta: Callable[..., int], hidden: list[int], total: int) -> None:
    assert count_on_meta("nin", "mlp", CIFAR, 10, hidden=hidden) == total


@pytest.mark.parametrize(
    ("name", "in_spec", "features"),
    [
        ("nin", CIFAR, FeatureSpec(192, 8, 8)),
        ("nin", MNIST, FeatureSpec(192, 7, 7)),
        ("nin_mnist", MNIST, FeatureSpec(96, 7, 7)),
        ("nin_svhn", CIFAR, FeatureSpec(256, 8, 8)),
        ("nin_2x2", ImageSpec(3, 30, 30), FeatureSpec(192, 7, 7)),
        ("nin", ImageSpec(3, 30, 33), FeatureSpec(192, 7, 8)),
    ],
)
def test_feature_sizes(choose: Callable[..., Backbone], name: str, in_spec: ImageSpec, features: FeatureSpec) -> None:
    backbone = choose("backbone", name, in_spec)
    assert backbone.out_spec(in_spec) == features


def test_layer_order_is_the_authors(choose: Callable[..., Backbone]) -> None:
    """A ReLU after every layer, dropout after the pool, none after block 3."""
    kinds = [type(layer).__name__ for layer in choose("backbone", "nin", CIFAR).modules() if not list(layer.children())]
    block, between = ["Conv2d", "ReLU"] * 3, ["MaxPool2d", "Dropout"]
    assert kinds == block + between + block + between + ["Conv2d", "ReLU"] * 2


def test_channel_dropout_drops_whole_channels(choose: Callable[..., Backbone]) -> None:
    backbone = choose("backbone", "nin_2x2", ImageSpec(3, 8, 8))
    drops = [layer for layer in backbone.modules() if isinstance(layer, nn.Dropout2d)]
    assert len(drops) == 2
    kept = drops[0](torch.ones(4, 50, 3, 3)).flatten(2)
    assert torch.equal(kept.amin(2), kept.amax(2))
    assert set(kept.unique().tolist()) == {0.0, 2.0}


def test_pool_kinds_and_rounding(choose: Callable[..., Backbone]) -> None:
    backbone = choose("backbone", "nin", CIFAR, pool_kinds=["max", "avg"], ceil_mode=False)
    assert backbone.out_spec(CIFAR) == FeatureSpec(192, 7, 7)
    assert isinstance(backbone.get_submodule("pool2"), nn.AvgPool2d)


def test_width_scales_every_layer_but_not_below_eight(choose: Callable[..., Backbone]) -> None:
    quarter = choose("backbone", "nin", CIFAR, width=0.25)
    channels = [layer.out_channels for layer in quarter.modules() if isinstance(layer, nn.Conv2d)]
    assert channels == [48, 40, 24, 48, 48, 48, 48, 48]
    assert quarter.num_features == 48
    tiny = choose("backbone", "nin", CIFAR, width=0.001)
    assert {layer.out_channels for layer in tiny.modules() if isinstance(layer, nn.Conv2d)} == {8}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"widths": []}, r"backbone\.widths must list at least one width for each block, got \[\]"),
        (
            {"kernel_sizes": [5, 5]},
            r"backbone\.kernel_sizes must have 3 entries, one for each block, got \[5, 5\]",
        ),
        ({"kernel_sizes": [5, 4, 3]}, r"backbone\.kernel_sizes must be odd, got \[5, 4, 3\]"),
        (
            {"pool_kinds": ["max"]},
            r"backbone\.pool_kinds must have 2 entries, one after each block but the last",
        ),
        ({"gaussian_stds": [0.1]}, r"backbone\.gaussian_stds must have 8 entries, one for each convolution"),
    ],
)
def test_lists_that_do_not_match_are_refused(
    choose: Callable[..., Backbone], overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        choose("backbone", "nin", CIFAR, **overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1\.0"),
        ({"width": 0.0}, r"width must lie in \(0, inf\), got 0\.0"),
        ({"pool_kinds": ["max", "median"]}, r"pool_kinds\[1\] must be one of max, avg, got 'median'"),
        ({"ceil_mode": 1}, "ceil_mode must be true or false, got 1"),
    ],
)
def test_values_out_of_range_are_refused(
    choose: Callable[..., Backbone], overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choose("backbone", "nin", CIFAR, **overrides)
