from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Network
from nin_exp.errors import ConfigError
from nin_exp.optim.groups import parameter_groups, supports_fused

IMAGES = ImageSpec(3, 8, 8)


@pytest.fixture
def network(choose: Callable[..., nn.Module], network_of: Callable[..., Network]) -> Network:
    return network_of(choose("backbone", "nin_bn", IMAGES, width=0.05), "fc", IMAGES)


def settings_of(network: Network, **overrides: float | bool) -> dict[str, tuple[float, float]]:
    """Parameter name -> (learning rate, weight decay)."""
    arguments = {
        "lr": 0.5,
        "weight_decay": 0.01,
        "decay_bias_and_norm": False,
        "bias_lr_multiplier": 1.0,
        "last_layer_lr_multiplier": 1.0,
        **overrides,
    }
    groups = parameter_groups(network, **arguments)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = [(names[id(p)], (g["lr"], g["weight_decay"])) for g in groups for p in g["params"]]
    assert len(found) == len({name for name, _ in found}), "a parameter stands in two groups"
    return dict(found)


def test_each_trainable_parameter_exactly_once(network: Network) -> None:
    network.get_parameter("backbone.block1.conv.weight").requires_grad_(False)
    expected = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert set(settings_of(network)) == expected
    assert "backbone.block1.conv.weight" not in expected


def test_decay_on_weights_alone_unless_asked(network: Network) -> None:
    settings = settings_of(network)
    decayed = {name for name, (_, decay) in settings.items() if decay > 0}
    assert decayed == {name for name, parameter in network.named_parameters() if parameter.ndim > 1}
    assert settings["backbone.block1.conv_norm.weight"] == (0.5, 0.0)
    assert {decay for _, decay in settings_of(network, decay_bias_and_norm=True).values()} == {0.01}


def test_a_norm_layer_with_a_matrix_does_not_decay(network: Network) -> None:
    network.backbone.add_module("layer_norm", nn.LayerNorm((3, 4)))
    assert settings_of(network)["backbone.layer_norm.weight"] == (0.5, 0.0)


def test_multipliers_compose(network: Network) -> None:
    settings = settings_of(network, bias_lr_multiplier=2.0, last_layer_lr_multiplier=0.1)
    assert settings["backbone.block1.conv.weight"][0] == pytest.approx(0.5)
    assert settings["head.maps.weight"][0] == pytest.approx(0.5)
    assert settings["head.maps.bias"][0] == pytest.approx(1.0)
    assert settings["head.linear.weight"][0] == pytest.approx(0.05)
    assert settings["head.linear.bias"][0] == pytest.approx(0.1)


def test_gap_gives_the_last_layer_factor_to_the_class_maps(network_of: Callable[..., Network]) -> None:
    settings = settings_of(network_of("nin_mnist", "gap", ImageSpec(1, 8, 8)), last_layer_lr_multiplier=0.1)
    assert settings["head.maps.weight"][0] == pytest.approx(0.05)
    assert settings["backbone.block3.mlp1.weight"][0] == pytest.approx(0.5)


def test_shared_parameters_stand_once(network: Network) -> None:
    twin = nn.Conv2d(3, 8, 5, bias=False)
    twin.weight = network.get_parameter("backbone.block1.conv.weight")
    network.backbone.add_module("twin", twin)
    network.backbone.add_module("same", network.get_submodule("backbone.block2"))
    assert len(settings_of(network)) == len(list(network.parameters()))


def test_groups_have_names(network: Network) -> None:
    groups = parameter_groups(
        network,
        lr=0.1,
        weight_decay=0.1,
        decay_bias_and_norm=False,
        bias_lr_multiplier=2.0,
        last_layer_lr_multiplier=1.0,
    )
    assert [group["name"] for group in groups] == ["decay_lr_x1", "no_decay_lr_x1", "no_decay_lr_x2"]


def test_all_frozen_is_refused(network: Network) -> None:
    network.requires_grad_(False)
    with pytest.raises(ConfigError, match="must have a trainable parameter, got a network with all parameters frozen"):
        settings_of(network)


def test_fused_on_cpu_but_not_on_meta(network: Network) -> None:
    assert supports_fused(network)
    assert not supports_fused(network.to("meta"))
    with torch.device("meta"):
        assert not supports_fused(nn.Linear(2, 2))
