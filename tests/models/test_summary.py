from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, FeatureSpec, Network
from nin_exp.errors import GeometryError
from nin_exp.heads.gap import GAP
from nin_exp.layers.summary import NetworkSummary, summarize

CIFAR, MNIST, LARGE = ImageSpec(3, 32, 32), ImageSpec(1, 28, 28), ImageSpec(3, 224, 224)


@pytest.fixture
def measure(choose: Callable[..., Any], network_of: Callable[..., Network]) -> Callable[..., NetworkSummary]:
    def summary(backbone: str, head: str, spec: ImageSpec, classes: int = 10, **overrides: object) -> NetworkSummary:
        with torch.device("meta"):
            network = network_of(choose("backbone", backbone, spec, **overrides), head, spec, classes)
        return summarize(network, spec)

    return summary


@pytest.mark.parametrize(
    ("backbone", "spec", "classes", "overrides", "millions"),
    [
        # by hand: NiN of 32x32, MMAC 14.75 + 31.46 + 15.73 + 117.96 + 9.44 + 9.44 + 21.23 + 2.36 + 0.12
        ("nin", CIFAR, 10, {}, 222.49),
        ("nin", CIFAR, 100, {}, 223.59),
        ("nin", MNIST, 10, {}, 162.81),
        ("nin_mnist", MNIST, 10, {}, 50.70),
        ("nin_svhn", CIFAR, 10, {}, 274.24),
        ("nin", CIFAR, 10, {"ceil_mode": False}, 200.36),
        ("nin_imagenet", LARGE, 5, {}, 904.61),
        ("nin_imagenet", LARGE, 10, {}, 905.23),
        ("nin_imagenet", LARGE, 1000, {}, 1100.40),
        ("nin_imagenet", ImageSpec(1, 224, 224), 10, {"paddings": [0, 2, 1]}, 762.3),
    ],
)
def test_macs_of_network_in_network(
    measure: Callable[..., NetworkSummary],
    backbone: str,
    spec: ImageSpec,
    classes: int,
    overrides: dict[str, object],
    millions: float,
) -> None:
    assert measure(backbone, "gap", spec, classes, **overrides).macs / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(
    ("backbone", "head", "overrides", "billions"),
    # torchvision's own figures (`_ops` in the weights' metadata)
    [
        ("alexnet", "mlp", {}, 0.714),
        ("vgg11", "mlp", {}, 7.609),
        ("vgg19", "mlp", {}, 19.632),
        ("resnet18", "gap_linear", {}, 1.814),
        ("resnet34", "gap_linear", {}, 3.664),
        ("googlenet", "gap_linear", {"wide_kernel": 3, "last_pool_kernel": 2}, 1.498),
    ],
)
def test_macs_are_torchvisions(
    measure: Callable[..., NetworkSummary],
    backbone: str,
    head: str,
    overrides: dict[str, object],
    billions: float,
) -> None:
    assert measure(backbone, head, LARGE, 1000, **overrides).macs / 1e9 == pytest.approx(billions, abs=0.0005)


def test_macs_of_a_locally_connected_layer(measure: Callable[..., NetworkSummary]) -> None:
    """16 places, 10 maps, windows of 64 * 9: as many as a convolution, though each place has its own weights."""
    rows = {layer.name: layer for layer in measure("conv_net", "gap", CIFAR).layers}
    assert rows["head.maps.weights"].macs == 16 * 10 * 64 * 9


def test_rows_of_the_table(measure: Callable[..., NetworkSummary]) -> None:
    rows = {layer.name: layer for layer in measure("nin", "gap", CIFAR).layers}
    conv = rows["backbone.block2.conv"]
    assert (conv.kind, conv.output_shape, conv.params, conv.macs) == ("Conv2d", (192, 16, 16), 460_992, 117_964_800)
    # by hand: 5 + 2 = 7 after the pool with step 2, 7 + 4 * 2 = 15
    assert (conv.receptive_field, conv.stride) == (15, 2)
    assert rows["backbone.pool2"].output_shape == (192, 8, 8)
    assert (rows["head.maps"].receptive_field, rows["head.maps"].stride) == (27, 4)
    pool = rows["head.pool"]
    assert (pool.kind, pool.output_shape, pool.receptive_field, pool.stride) == ("GlobalAveragePool", (10,), None, None)


def test_totals(measure: Callable[..., NetworkSummary]) -> None:
    summary = measure("nin", "mlp", CIFAR)
    assert summary.params_total == summary.params_trainable == 68_123_082
    assert summary.params_head == 68_123_082 - 965_056
    assert summary.head_share == pytest.approx(0.98583, abs=1e-5)
    assert summary.params_total == sum(layer.params for layer in summary.layers)


def test_as_dict_is_json(measure: Callable[..., NetworkSummary]) -> None:
    document = json.loads(json.dumps(measure("nin", "gap", CIFAR).as_dict()))
    assert set(document) == {"params_total", "params_head", "params_trainable", "head_share", "macs", "layers"}
    assert document["params_total"] == 966_986
    assert document["layers"][0] == {
        "name": "backbone.block1.conv",
        "kind": "Conv2d",
        "output_shape": [192, 32, 32],
        "params": 14_592,
        "macs": 14_745_600,
        "receptive_field": 5,
        "stride": 1,
    }


@pytest.mark.parametrize("training", [True, False])
def test_network_is_not_changed(network_of: Callable[..., Network], training: bool) -> None:
    network = network_of("nin_bn", "gap", CIFAR).train(training)
    network.get_submodule("backbone.block1.conv_norm").train(not training)
    network.get_parameter("head.maps.bias").requires_grad_(False)
    modes = [layer.training for layer in network.modules()]
    before = {name: (value, value.clone()) for name, value in network.state_dict(keep_vars=True).items()}
    summary = summarize(network, CIFAR)
    assert summary.params_trainable == summary.params_total - 10
    assert [layer.training for layer in network.modules()] == modes
    assert not any(layer._forward_hooks for layer in network.modules())
    for name, value in network.state_dict(keep_vars=True).items():
        assert value is before[name][0]
        assert torch.equal(value, before[name][1])


def test_hooks_are_removed_after_an_error(network_of: Callable[..., Network]) -> None:
    network = network_of("nin_mnist", "fc", MNIST)
    with pytest.raises(GeometryError, match=r"head\.linear must get 10x7x7, got 10x8x8"):
        summarize(network, ImageSpec(1, 32, 32))
    assert not any(layer._forward_hooks for layer in network.modules())
    assert network.training


def test_misfit_names_the_layer(network_of: Callable[..., Network]) -> None:
    with pytest.raises(GeometryError, match="pool2"):
        summarize(network_of("nin_mnist", "gap", MNIST), ImageSpec(1, 3, 3))


def test_no_memory_for_a_real_network(network_of: Callable[..., Network]) -> None:
    """A pass over 64 images' worth of activations would be seen; the table takes next to nothing."""
    network = network_of("nin", "gap", CIFAR)
    torch_before = torch.get_rng_state()
    tracemalloc.start()
    summarize(network, ImageSpec(3, 2048, 2048))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_shared_layer_counts_its_parameters_once_and_its_work_twice() -> None:
    class Twice(Backbone):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)

        @property
        def num_features(self) -> int:
            return 2

        def out_spec(self, in_spec: ImageSpec) -> FeatureSpec:
            return FeatureSpec(2, in_spec.height, in_spec.width)

        def forward(self, images: Tensor) -> Tensor:
            out: Tensor = self.conv(self.conv(images))
            return out

    backbone = Twice()
    network = Network(backbone, GAP(FeatureSpec(2, 3, 3), 4, backbone.class_map_block, relu=False))
    summary = summarize(network, ImageSpec(2, 3, 3))
    assert [(layer.name, layer.params, layer.macs) for layer in summary.layers] == [
        ("backbone.conv", 6, 36),
        ("backbone.conv", 0, 36),
        ("head.maps", 12, 72),
        ("head.pool", 0, 0),
    ]
    assert {layer.receptive_field for layer in summary.layers} == {None}


def test_side_branches_have_no_receptive_field(measure: Callable[..., NetworkSummary]) -> None:
    rows = measure("resnet20", "gap_linear", CIFAR, shortcut="projection").layers
    side = [layer for layer in rows if ".shortcut" in layer.name]
    assert len(side) == 4
    assert all(layer.receptive_field is None for layer in side)
    # 1 + 2 * (7 convolutions at step 1 + 6 at 2 + 6 at 4), less 2 + 4: the strided ones count at the finer step
    assert max(layer.receptive_field or 0 for layer in rows) == 1 + 2 * (1 + 6 + 1) + 4 * (5 + 1) + 8 * 5
