from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, FeatureSpec, Network
from nin_exp.contracts.optim import OptimizerFactory
from nin_exp.errors import ConfigError
from nin_exp.heads.gap_linear import GAPLinear


class Passing(Backbone):
    """A trunk with one 1x1 convolution, so that updates can be computed by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1, bias=False)

    @property
    def num_features(self) -> int:
        return 2

    def out_spec(self, in_spec: ImageSpec) -> FeatureSpec:
        return FeatureSpec(2, in_spec.height, in_spec.width)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.conv(images)
        return out


@pytest.fixture
def network() -> Network:
    backbone = Passing()
    return Network(backbone, GAPLinear(FeatureSpec(2, 3, 3), 2, backbone.class_map_block))


def updates(factory: OptimizerFactory, network: Network, gradients: list[float]) -> list[float]:
    """The first trunk weight, from 1, after each step with a given gradient."""
    optimizer = factory.build(network)
    values = []
    with torch.no_grad():
        network.get_parameter("backbone.conv.weight").fill_(1.0)
    for gradient in gradients:
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
        values.append(network.get_parameter("backbone.conv.weight").flatten()[0].item())
    return values


def sgd_by_hand(gradients: list[float], lr: float, momentum: float, nesterov: bool, decay: float) -> list[float]:
    weight, velocity, values = 1.0, 0.0, []
    for step, raw in enumerate(gradients):
        gradient = raw + decay * weight
        velocity = gradient if step == 0 else momentum * velocity + gradient
        weight -= lr * (gradient + momentum * velocity if nesterov else velocity)
        values.append(weight)
    return values


def adam_by_hand(
    gradients: list[float], lr: float, beta1: float, beta2: float, eps: float, l2: float, decoupled: float
) -> list[float]:
    weight, mean, square, values = 1.0, 0.0, 0.0, []
    for step, raw in enumerate(gradients, start=1):
        weight *= 1 - lr * decoupled
        gradient = raw + l2 * weight
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        weight -= lr * (mean / (1 - beta1**step)) / (math.sqrt(square / (1 - beta2**step)) + eps)
        values.append(weight)
    return values


def rmsprop_by_hand(
    gradients: list[float], lr: float, alpha: float, eps: float, momentum: float, centered: bool, l2: float
) -> list[float]:
    weight, square, mean, velocity, values = 1.0, 0.0, 0.0, 0.0, []
    for raw in gradients:
        gradient = raw + l2 * weight
        square = alpha * square + (1 - alpha) * gradient**2
        mean = alpha * mean + (1 - alpha) * gradient
        velocity = momentum * velocity + gradient / (math.sqrt(square - (mean**2 if centered else 0)) + eps)
        weight -= lr * velocity
        values.append(weight)
    return values


GRADIENTS = [0.5, -0.2, 0.7, 0.1]


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_against_its_formula(
    choose: Callable[..., OptimizerFactory], network: Network, momentum: float, nesterov: bool
) -> None:
    factory = choose("optimizer", "sgd", lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=0.01)
    assert updates(factory, network, GRADIENTS) == pytest.approx(sgd_by_hand(GRADIENTS, 0.1, momentum, nesterov, 0.01))


def test_adam_and_adamw_against_their_formulas(choose: Callable[..., OptimizerFactory], network: Network) -> None:
    overrides = {"lr": 0.01, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6, "weight_decay": 0.1}
    adam = updates(choose("optimizer", "adam", **overrides), network, GRADIENTS)
    assert adam == pytest.approx(adam_by_hand(GRADIENTS, 0.01, 0.8, 0.95, 1e-6, 0.1, 0.0), rel=1e-5)
    adamw = updates(choose("optimizer", "adamw", **overrides), network, GRADIENTS)
    assert adamw == pytest.approx(adam_by_hand(GRADIENTS, 0.01, 0.8, 0.95, 1e-6, 0.0, 0.1), rel=1e-5)
    assert adam != pytest.approx(adamw, rel=1e-4)


@pytest.mark.parametrize(("momentum", "centered"), [(0.0, False), (0.9, False), (0.5, True)])
def test_rmsprop_against_its_formula(
    choose: Callable[..., OptimizerFactory], network: Network, momentum: float, centered: bool
) -> None:
    settings = {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "momentum": momentum, "centered": centered}
    factory = choose("optimizer", "rmsprop", weight_decay=0.1, **settings)
    assert updates(factory, network, GRADIENTS) == pytest.approx(
        rmsprop_by_hand(GRADIENTS, 0.01, 0.9, 1e-6, momentum, centered, 0.1), rel=1e-5
    )


def test_multipliers_reach_the_step(choose: Callable[..., OptimizerFactory], network: Network) -> None:
    factory = choose(
        "optimizer", "sgd", lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0,
        bias_lr_multiplier=2.0, last_layer_lr_multiplier=0.1,
    )  # fmt: skip
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = factory.build(network)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = {name: (before[name] - parameter).max().item() for name, parameter in network.named_parameters()}
    assert moved == pytest.approx(
        {"backbone.conv.weight": 0.1, "head.linear.weight": 0.01, "head.linear.bias": 0.02}, abs=1e-6
    )


def test_every_optimizer_steps_on_any_memory_format_alike(
    choose: Callable[..., Any], network_of: Callable[..., Network], optimizer_name: str
) -> None:
    """One-kernel steps read memory in order: weights in channels_last must move as contiguous ones do."""
    images = ImageSpec(3, 8, 8)
    networks = [network_of(choose("backbone", "nin", images, width=0.1, dropout=0.0), "gap", images) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    networks[1].to(memory_format=torch.channels_last)
    batch = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for network in networks:
        optimizer = choose("optimizer", optimizer_name, lr=0.01).build(network)
        assert optimizer.defaults.get("fused", True) is True  # where torch has a one-kernel step
        for _ in range(3):
            optimizer.zero_grad()
            network(batch).square().sum().backward()
            optimizer.step()
    for (name, first), second in zip(networks[0].named_parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(first, second, atol=2e-4, rtol=1e-3, msg=name)


def test_every_optimizer_builds_on_the_meta_device(
    choose: Callable[..., OptimizerFactory], network: Network, optimizer_name: str
) -> None:
    optimizer = choose("optimizer", optimizer_name).build(network.to("meta"))
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 3


def test_every_optimizer_state_can_be_saved(
    choose: Callable[..., OptimizerFactory], network: Network, optimizer_name: str
) -> None:
    first, second = (choose("optimizer", optimizer_name).build(network) for _ in range(2))
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    first.step()
    second.load_state_dict(first.state_dict())
    assert str(second.state_dict()) == str(first.state_dict())


def test_every_optimizer_goes_on_to_the_byte(
    choose: Callable[..., Any], network_of: Callable[..., Network], optimizer_name: str, tmp_path: Path
) -> None:
    """Six steps, and three steps, a file, three more: equal weights and equal state."""
    spec = ImageSpec(1, 8, 8)

    def made() -> tuple[Network, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = network_of(choose("backbone", "nin_bn", spec, width=0.05, dropout=0.0), "fc", spec, 4)
        network.to(memory_format=torch.channels_last)
        return network, choose("optimizer", optimizer_name).build(network)

    def train(network: Network, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            batch = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(batch), torch.arange(8) % 4).backward()
            optimizer.step()

    straight, straight_optimizer = made()
    train(straight, straight_optimizer, range(6))
    first, first_optimizer = made()
    train(first, first_optimizer, range(3))
    torch.save([first.state_dict(), first_optimizer.state_dict()], tmp_path / "state.pt")
    second, second_optimizer = made()
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    second.load_state_dict(weights)
    second_optimizer.load_state_dict(state)
    train(second, second_optimizer, range(3, 6))
    for name, value in straight.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert str(second_optimizer.state_dict()) == str(straight_optimizer.state_dict())


def test_nesterov_needs_momentum(choose: Callable[..., OptimizerFactory]) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.nesterov must be false without momentum, got true"):
        choose("optimizer", "sgd", momentum=0.0, nesterov=True)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("sgd", {"lr": 0.0}, r"lr must lie in \(0, inf\), got 0"),
        ("sgd", {"lr": float("nan")}, r"lr must lie in \(0, inf\), got nan"),
        ("sgd", {"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1"),
        ("sgd", {"weight_decay": -1e-4}, r"weight_decay must lie in \[0, inf\), got -0\.0001"),
        ("adam", {"beta2": 1.0}, r"beta2 must lie in \[0, 1\), got 1"),
        ("adamw", {"lr": "0.1"}, "lr must be a number, got '0.1'"),
        ("rmsprop", {"alpha": 1.0}, r"alpha must lie in \[0, 1\), got 1"),
        ("muon", {"ns_steps": 0}, r"ns_steps must lie in \[1, inf\), got 0"),
        ("muon", {"others": "adam"}, "others must be one of sgd, adamw, got 'adam'"),
    ],
)
def test_values_out_of_range_are_refused_by_optimizers(
    choose: Callable[..., OptimizerFactory], name: str, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choose("optimizer", name, **overrides)
