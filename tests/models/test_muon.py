"""Muon against torch's, for matrices; kernels against the same on the reshaped kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, FeatureSpec, Network
from nin_exp.contracts.optim import OptimizerFactory
from nin_exp.errors import ConfigError
from nin_exp.heads.gap_linear import GAPLinear
from nin_exp.optim.muon import orthogonalised

SHAPES = [(6, 2, 3, 3), (8, 6, 1, 1), (2, 8, 5, 5)]


class Trunk(Backbone):
    """Kernels wide, tall and square, with a norm layer between."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2)
        self.layers = nn.ModuleList([nn.Conv2d(i, o, k) for o, i, k, _ in SHAPES])

    @property
    def num_features(self) -> int:
        return 2

    def out_spec(self, in_spec: ImageSpec) -> FeatureSpec:
        return FeatureSpec(2, 1, 1)


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    backbone = Trunk()
    return Network(backbone, GAPLinear(FeatureSpec(2, 3, 3), 4, backbone.class_map_block))


def gradients(network: Network, step: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {name: torch.randn(p.shape, generator=generator) for name, p in network.named_parameters()}


def run(network: Network, factory: OptimizerFactory, steps: int) -> dict[str, Tensor]:
    optimizer = factory.build(network)
    for step in range(steps):
        for name, gradient in gradients(network, step).items():
            network.get_parameter(name).grad = gradient
        optimizer.step()
    return {name: p.detach().clone() for name, p in network.named_parameters()}


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (16, 16)])
def test_orthogonalised_keeps_the_directions_and_levels_the_singular_values(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    out = orthogonalised(matrix, 5)
    assert out.shape == shape
    left, singular, right = torch.linalg.svd(matrix, full_matrices=False)
    values = left.T @ out @ right.T
    torch.testing.assert_close(values, torch.diag(values.diagonal()), atol=1e-4, rtol=0)
    large = values.diagonal()[singular > 0.05 * singular[0]]  # five iterations lift the smallest ones only so far
    assert large.min() > 0.5
    assert large.max() < 1.5


@pytest.mark.parametrize("adjust_lr", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_matrices_and_kernels_move_as_torchs(
    choose: Callable[..., Any], network: Network, adjust_lr: str, nesterov: bool
) -> None:
    """torch iterates in bfloat16 (8 bits): a few steps agree to about a hundredth of a step."""
    lr = 0.05
    settings = {"lr": lr, "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.1}
    names = [f"backbone.layers.{index}.weight" for index in range(3)]
    matrices = {name: nn.Parameter(network.get_parameter(name).detach().flatten(1).clone()) for name in names}
    before = {name: matrix.detach().clone() for name, matrix in matrices.items()}
    torchs = torch.optim.Muon(matrices.values(), adjust_lr_fn=adjust_lr, **settings)
    for step in range(4):
        for name, matrix in matrices.items():
            matrix.grad = gradients(network, step)[name].flatten(1)
        torchs.step()
    ours = run(network, choose("optimizer", "muon", adjust_lr=adjust_lr, **settings), steps=4)
    for name, matrix in matrices.items():
        moved = (matrix - before[name]).norm()
        assert (ours[name].flatten(1) - matrix).norm() < 0.03 * moved, name


@pytest.mark.parametrize("others", ["sgd", "adamw"])
def test_the_other_parameters_move_as_torchs(choose: Callable[..., Any], network: Network, others: str) -> None:
    names = [name for name, p in network.named_parameters() if p.ndim < 2 or name.startswith("head.")]
    assert len(names) == 2 + 3 + 2
    copies = {name: nn.Parameter(network.get_parameter(name).detach().clone()) for name in names}
    decays = {name: 0.1 if name == "head.linear.weight" else 0.0 for name in names}
    groups = [{"params": [copies[name]], "weight_decay": decays[name]} for name in names]
    reference = (
        torch.optim.SGD(groups, lr=0.03, momentum=0.8, nesterov=True)
        if others == "sgd"
        else torch.optim.AdamW(groups, lr=0.03, betas=(0.7, 0.9), eps=1e-6)
    )
    for step in range(5):
        for name, copy in copies.items():
            copy.grad = gradients(network, step)[name]
        reference.step()
    settings = {"others_lr": 0.03, "others_momentum": 0.8, "beta1": 0.7, "beta2": 0.9, "eps": 1e-6}
    ours = run(network, choose("optimizer", "muon", others=others, others_weight_decay=0.1, **settings), steps=5)
    for name, copy in copies.items():
        torch.testing.assert_close(ours[name], copy.detach(), msg=name)


def test_which_rule_moves_what(choose: Callable[..., OptimizerFactory], network: Network) -> None:
    names = {id(p): name for name, p in network.named_parameters()}

    def rules(**overrides: object) -> dict[str, str]:
        optimizer = choose("optimizer", "muon", **overrides).build(network)
        found = [(names[id(p)], group["rule"]) for group in optimizer.param_groups for p in group["params"]]
        assert sorted(name for name, _ in found) == sorted(names.values())
        return dict(found)

    kernels = {f"backbone.layers.{index}.weight" for index in range(3)}
    assert {name for name, rule in rules().items() if rule == "muon"} == kernels
    with_last = {name for name, rule in rules(last_layer_by_muon=True).items() if rule == "muon"}
    assert with_last == {*kernels, "head.linear.weight"}
    network.backbone.add_module("layer_norm", nn.LayerNorm((3, 4)))
    names = {id(p): name for name, p in network.named_parameters()}
    assert rules(decay_bias_and_norm=True)["backbone.layer_norm.weight"] == "adamw"


def test_rates_and_decay_of_each_group(choose: Callable[..., OptimizerFactory], network: Network) -> None:
    settings = {"lr": 0.2, "others_lr": 0.1, "weight_decay": 0.3, "others_weight_decay": 0.4}
    factors = {"bias_lr_multiplier": 2.0, "last_layer_lr_multiplier": 0.5}
    optimizer = choose("optimizer", "muon", **settings, **factors).build(network)
    names = {id(p): name for name, p in network.named_parameters()}
    found = {
        names[id(p)]: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]
    }  # fmt: skip
    assert found["backbone.layers.0.weight"] == pytest.approx((0.2, 0.3))
    assert found["backbone.layers.0.bias"] == pytest.approx((0.2, 0.0))
    assert found["backbone.norm.weight"] == pytest.approx((0.1, 0.0))
    assert found["head.linear.weight"] == pytest.approx((0.05, 0.4))
    assert found["head.linear.bias"] == pytest.approx((0.1, 0.0))


def test_sgd_with_nesterov_needs_momentum(choose: Callable[..., OptimizerFactory]) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.others_momentum must be above 0 for others=sgd with nesterov"):
        choose("optimizer", "muon", others="sgd", others_momentum=0.0)


def test_a_closure_is_called_with_gradients(choose: Callable[..., OptimizerFactory], network: Network) -> None:
    optimizer = choose("optimizer", "muon").build(network)
    weight = network.get_parameter("head.linear.weight")

    def closure() -> float:
        loss = weight.square().sum()
        loss.backward()
        return loss.item()

    before = weight.square().sum().item()
    assert optimizer.step(closure) == pytest.approx(before)  # type: ignore[arg-type]
    assert weight.square().sum().item() < before
