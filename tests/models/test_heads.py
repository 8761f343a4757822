from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nin_exp.contracts.model import FeatureSpec, Head
from nin_exp.heads.fc import FC
from nin_exp.heads.gap import GAP
from nin_exp.heads.gap_linear import GAPLinear
from nin_exp.heads.gmp_linear import GMPLinear
from nin_exp.heads.mlp import MLP

SPEC = FeatureSpec(6, 5, 4)


def block(num_classes: int) -> nn.Module:
    return nn.Conv2d(SPEC.channels, num_classes, 1)


@pytest.fixture
def features() -> Tensor:
    return torch.randn(3, 6, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_gap_without_relu_equals_gap_linear(features: Tensor) -> None:
    """The mean commutes with a linear layer: one function class, so the ReLU is the only real difference."""
    gap, linear = GAP(SPEC, 7, block, relu=False).double(), GAPLinear(SPEC, 7, block).double()
    with torch.no_grad():
        linear.linear.weight.copy_(gap.get_parameter("maps.weight")[:, :, 0, 0])
        linear.linear.bias.copy_(gap.get_parameter("maps.bias"))
    torch.testing.assert_close(gap(features), linear(features))
    torch.testing.assert_close(gap.class_maps(features), linear.class_maps(features))
    with_relu = GAP(SPEC, 7, block, relu=True).double()
    with_relu.load_state_dict(gap.state_dict())
    assert not torch.allclose(with_relu(features), linear(features))


def test_gap_with_relu_by_hand() -> None:
    head = GAP(FeatureSpec(1, 1, 2), 1, lambda classes: nn.Conv2d(1, classes, 1), relu=True)
    with torch.no_grad():
        head.get_parameter("maps.weight").fill_(2.0)
        head.get_parameter("maps.bias").fill_(-1.0)
    assert head(torch.tensor([[[[3.0, -4.0]]]])).tolist() == [[2.5]]  # mean of relu(5), relu(-9)


def test_gap_gradient_is_spread_evenly() -> None:
    """Each place gets 1/(H*W) of the gradient; without the factor it is 20 times too large here."""
    head = GAP(SPEC, 6, block, relu=False)
    with torch.no_grad():
        head.get_parameter("maps.weight").copy_(torch.eye(6)[:, :, None, None])
    features = torch.zeros(2, 6, 5, 4, requires_grad=True)
    cotangent = torch.arange(12.0).reshape(2, 6)
    head(features).backward(cotangent)
    assert features.grad is not None
    torch.testing.assert_close(features.grad, cotangent[:, :, None, None].expand(2, 6, 5, 4) / 20)


def test_fc_with_block_diagonal_means_equals_gap(features: Tensor) -> None:
    """GAP is the FC head whose matrix is fixed: block-diagonal, equal values (the paper's section 3.2)."""
    gap, fc = GAP(SPEC, 7, block, relu=True).double(), FC(SPEC, 7, block, relu=True, dropout=0.0).double()
    with torch.no_grad():
        fc.maps.load_state_dict(gap.maps.state_dict())
        fc.linear.weight.copy_(torch.kron(torch.eye(7), torch.full((1, 20), 1 / 20)))
        fc.linear.bias.zero_()
    torch.testing.assert_close(fc(features), gap(features))


def test_fc_linear_reads_the_class_maps() -> None:
    head = FC(SPEC, 7, block, relu=False, dropout=0.0)
    assert head.linear.in_features == 7 * 5 * 4


def test_gmp_takes_the_maximum_of_each_channel(features: Tensor) -> None:
    head = GMPLinear(SPEC, 6, block).double()
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(6))
        head.linear.bias.zero_()
    torch.testing.assert_close(head(features), features.flatten(2).max(2).values)


def test_dropout_acts_in_training_only_and_before_the_linear_layer(features: Tensor) -> None:
    head = FC(SPEC, 7, block, relu=False, dropout=0.5).double()
    seen: list[Tensor] = []
    head.linear.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    head.train()(features)
    head.eval()(features)
    assert 0.35 < (seen[0] == 0).double().mean() < 0.65
    assert not (seen[1] == 0).any()


def test_mlp_layers_are_alexnets() -> None:
    head = MLP(FeatureSpec(256, 6, 6), 1000, block, hidden=[32, 16], activation="relu", dropout=0.4)
    kinds = [type(layer).__name__ for layer in head.modules() if not list(layer.children())]
    assert kinds == ["FixedFlatten", *["Linear", "ReLU", "Dropout"] * 2, "Linear"]
    sizes = [(layer.in_features, layer.out_features) for layer in head.modules() if isinstance(layer, nn.Linear)]
    assert sizes == [(9216, 32), (32, 16), (16, 1000)]
    assert [layer.p for layer in head.modules() if isinstance(layer, nn.Dropout)] == [0.4, 0.4]


@pytest.mark.parametrize(("activation", "kind"), [("relu", nn.ReLU), ("tanh", nn.Tanh), ("sigmoid", nn.Sigmoid)])
def test_mlp_activation(activation: Any, kind: type[nn.Module]) -> None:
    head = MLP(SPEC, 7, block, hidden=[32, 16], activation=activation, dropout=0.0)
    kinds = [type(layer) for layer in head.hidden if not isinstance(layer, (nn.Linear, nn.Dropout))]
    assert kinds == [kind, kind]


def test_every_head_names_its_last_layer(choose: Callable[..., Head], head_name: str) -> None:
    head = choose("head", head_name, SPEC, 7, block)
    rows = {parameter.shape[0] for parameter in head.last_layer.parameters()}
    assert rows == {7}
    last = {id(parameter) for parameter in head.last_layer.parameters()}
    assert last <= {id(parameter) for parameter in head.parameters()}


def test_last_layer_of_a_deep_class_map_block() -> None:
    deep = GAP(
        SPEC,
        7,
        lambda k: nn.Sequential(nn.Conv2d(6, k, 3, padding=1), nn.ReLU(), nn.Conv2d(k, k, 1)),
        relu=True,
    )
    assert deep.last_layer is deep.get_submodule("maps.2")


@pytest.mark.parametrize("with_maps", ["gap", "fc", "fc_dropout", "gap_linear", "gmp_linear"])
def test_class_maps_have_one_map_a_class(choose: Callable[..., Head], with_maps: str) -> None:
    maps = choose("head", with_maps, SPEC, 7, block).class_maps(torch.randn(2, 6, 5, 4))
    assert maps is not None
    assert maps.shape == (2, 7, 5, 4)


@pytest.mark.parametrize("without_maps", ["flatten_linear", "mlp"])
def test_heads_without_class_maps(choose: Callable[..., Head], without_maps: str) -> None:
    assert choose("head", without_maps, SPEC, 7, block).class_maps(torch.randn(2, 6, 5, 4)) is None


def test_relu_on_class_maps_can_die_and_its_absence_cannot() -> None:
    """Strongly negative biases: with the ReLU all logits are zero (loss ln K) and no gradient comes back."""
    labels = torch.tensor([0, 1])
    for relu in (True, False):
        head = GAP(SPEC, 7, block, relu=relu)
        with torch.no_grad():
            head.get_parameter("maps.bias").fill_(-100.0)
        loss = nn.functional.cross_entropy(head(torch.randn(2, 6, 5, 4)), labels)
        loss.backward()
        gradient = sum(p.grad.abs().sum().item() for p in head.parameters() if p.grad is not None)
        assert (gradient == 0) is relu
        assert (abs(loss.item() - math.log(7)) < 1e-6) is relu
