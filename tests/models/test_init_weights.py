from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Network
from nin_exp.errors import ConfigError
from nin_exp.layers.init import initialise

SCHEMES = ("kaiming", "xavier", "orthogonal", "gaussian", "torch")
IMAGES = ImageSpec(3, 16, 16)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def nested() -> nn.Module:
    """Layers at depths 0 to 3; initialising only top-level children would reach one of four."""
    deep = nn.ModuleDict({"inner": nn.ModuleList([nn.Sequential(nn.Conv2d(3, 40, 3), nn.ReLU())])})
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 40, 5)),
        deep,
        nn.Sequential(nn.Sequential(nn.Linear(50, 60))),
        nn.Linear(60, 70),
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_reaches_every_layer_at_any_depth(scheme: str) -> None:
    module = nested()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(7.0)
    names = initialise(module, scheme, 0.05, generator())
    weighted = [name for name, layer in module.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert names == weighted == ["0.0", "1.inner.0.0", "2.0.0", "3"]
    for name, parameter in module.named_parameters():
        assert not (parameter == 7.0).any(), name
        if name.endswith("bias") and scheme != "torch":
            assert (parameter == 0).all()
        if name.endswith("weight"):
            assert parameter.std() > 0


@pytest.mark.parametrize(
    ("scheme", "deviation"),
    [
        ("kaiming", math.sqrt(2 / (16 * 9))),
        ("xavier", math.sqrt(2 / (16 * 9 + 64 * 9))),
        ("orthogonal", math.sqrt(2 / (16 * 9))),  # rows of length sqrt 2
        ("gaussian", 0.03),
        ("torch", math.sqrt(1 / (3 * 16 * 9))),  # uniform in +-1/sqrt(fan in)
    ],
)
def test_deviation_of_each_scheme(scheme: str, deviation: float) -> None:
    conv = nn.Conv2d(16, 64, 3)
    initialise(conv, scheme, 0.03, generator())
    assert conv.weight.mean().item() == pytest.approx(0.0, abs=4 * deviation / math.sqrt(conv.weight.numel()))
    assert conv.weight.std().item() == pytest.approx(deviation, rel=0.03)


def test_orthogonal_rows_are_orthogonal() -> None:
    conv = nn.Conv2d(16, 64, 3)
    initialise(conv, "orthogonal", 1.0, generator())
    rows = conv.weight.detach().flatten(1)
    torch.testing.assert_close(rows @ rows.T, 2 * torch.eye(64), atol=1e-5, rtol=0)


def test_torch_scheme_is_torchs_own() -> None:
    conv = nn.Conv2d(5, 7, 3)
    torch.manual_seed(3)
    conv.reset_parameters()
    expected = {name: value.clone() for name, value in conv.state_dict().items()}
    initialise(conv, "torch", 1.0, generator(3))
    assert all(torch.equal(value, expected[name]) for name, value in conv.state_dict().items())


def test_deviation_of_each_layer(choose: Callable[..., nn.Module]) -> None:
    backbone = choose("backbone", "nin_cifar100", ImageSpec(3, 32, 32))
    initialise(nn.Sequential(backbone), "gaussian", 0.2, generator())
    stds = [layer.weight.std().item() for layer in backbone.modules() if isinstance(layer, nn.Conv2d)]
    assert stds == pytest.approx([0.001, 0.01, 0.01, 0.05, 0.05, 0.05, 0.05, 0.05], rel=0.03)


def test_deviations_only_for_the_gaussian_scheme(choose: Callable[..., nn.Module]) -> None:
    backbone = choose("backbone", "nin_cifar100", ImageSpec(3, 32, 32))
    initialise(backbone, "kaiming", 0.2, generator())
    first = next(layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d))
    assert first.weight.std().item() == pytest.approx(math.sqrt(2 / 75), rel=0.03)


def test_deviation_for_unknown_layer_is_refused() -> None:
    class Wrong(nn.Module):
        def gaussian_stds(self) -> dict[str, float]:
            return {"conv9": 0.1}

    with pytest.raises(ConfigError, match=r"gaussian_stds must name convolutions or linear layers, got 0\.conv9"):
        initialise(nn.Sequential(Wrong()), "gaussian", 0.05, generator())


def test_same_seed_gives_the_same_trunk_whatever_the_head(network_of: Callable[..., Network]) -> None:
    trunks = {}
    for head in ("gap", "fc", "gap_linear", "flatten_linear"):
        network = network_of("nin_mnist", head, IMAGES)
        initialise(network, "kaiming", 0.05, generator(11))
        trunks[head] = torch.cat([p.detach().flatten() for p in network.backbone.parameters()])
    assert all(torch.equal(trunk, trunks["gap"]) for trunk in trunks.values())
    other = network_of("nin_mnist", "gap", IMAGES)
    initialise(other, "kaiming", 0.05, generator(12))
    assert not torch.equal(torch.cat([p.detach().flatten() for p in other.backbone.parameters()]), trunks["gap"])


def test_gap_and_fc_start_from_the_same_class_map_layer(network_of: Callable[..., Network]) -> None:
    networks = [network_of("nin_mnist", head, IMAGES) for head in ("gap", "fc")]
    for network in networks:
        initialise(network, "gaussian", 0.05, generator(5))
    gap, fc = (network.get_parameter("head.maps.weight") for network in networks)
    assert torch.equal(gap, fc)


def test_global_random_state_and_memory_format_do_not_matter() -> None:
    plain, channels_last = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    initialise(plain, "kaiming", 0.05, generator())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    initialise(channels_last, "kaiming", 0.05, generator())
    assert torch.equal(plain.weight, channels_last.weight)
    assert channels_last.weight.is_contiguous(memory_format=torch.channels_last)


def test_norm_layers_become_the_identity() -> None:
    norm = nn.BatchNorm2d(4)
    norm(torch.randn(8, 4, 3, 3) + 5)
    with torch.no_grad():
        norm.weight.fill_(9)
    initialise(nn.Sequential(norm), "kaiming", 0.05, generator())
    images = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(norm.eval()(images), images, atol=1e-4, rtol=1e-4)


def test_meta_device_is_left_alone() -> None:
    with torch.device("meta"):
        module = nested()
    assert len(initialise(module, "orthogonal", 0.05, generator())) == 4
    assert all(parameter.is_meta for parameter in module.parameters())
