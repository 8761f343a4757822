"""Containers, parameter names, states, modes: what holds a network together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nin_exp.reference.activations import ReLU, Tanh
from nin_exp.reference.batches import batch_indices, predict
from nin_exp.reference.containers import Concat, Residual, Sequential
from nin_exp.reference.conv import Conv2d
from nin_exp.reference.dropout import Dropout
from nin_exp.reference.linear import Flatten, Linear
from nin_exp.reference.module import Layer, Parameter, inference
from nin_exp.reference.norm import BatchNorm2d
from nin_exp.reference.pooling import GlobalAvgPool, MaxPool2d


def small_network(rng: np.random.Generator) -> Sequential:
    return Sequential(
        {
            "stem": Sequential(Conv2d(2, 4, 3, padding=1, bias=False, rng=rng), BatchNorm2d(4), ReLU()),
            "block": Residual(
                Sequential({"conv1": Conv2d(4, 4, 3, padding=1, rng=rng), "relu": ReLU()}),
                Sequential(Conv2d(4, 4, 1, rng=rng)),
                names=("", "downsample"),
            ),
            "mixed": Concat({"a": Conv2d(4, 2, 1, rng=rng), "b": MaxPool2d(3, 1, 1)}),
            "pool": GlobalAvgPool(),
            "fc": Linear(6, 3, rng=rng),
        }
    )


class TorchNetwork(nn.Module):
    """The same, written as a torch user would; its names are the standard."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(4, 4, 3, padding=1)
            self.relu = nn.ReLU()
            self.downsample = nn.Sequential(nn.Conv2d(4, 4, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.conv1(x)) + self.downsample(x)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.block = self.Block()
        self.mixed = nn.ModuleDict({"a": nn.Conv2d(4, 2, 1), "b": nn.MaxPool2d(3, 1, 1)})
        self.fc = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block(self.stem(x))
        return self.fc(torch.cat([self.mixed["a"](x), self.mixed["b"](x)], dim=1).mean(dim=(2, 3)))


def test_weights_travel_from_torch_and_back(rng, same_as_torch):
    torch.manual_seed(0)
    source, target = TorchNetwork(), TorchNetwork()
    network = small_network(rng)
    same_as_torch(network, source, rng.standard_normal((3, 2, 6, 5)))
    target.load_state_dict({k: torch.from_numpy(v) for k, v in network.state_dict().items()})
    for name, value in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[name], value.to(target.state_dict()[name].dtype))


def test_state_round_trip_is_bit_equal_on_every_layer(rng):
    network, other = small_network(rng), small_network(rng)
    state = network.state_dict()
    assert any(not np.array_equal(state[name], value) for name, value in other.state_dict().items())
    other.load_state_dict(state)
    assert other.state_dict().keys() == state.keys()
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, state[name], strict=True)


def test_a_state_is_a_copy_both_ways(rng):
    network = small_network(rng)
    state = network.state_dict()
    before = {name: value.copy() for name, value in state.items()}
    for value in state.values():
        value += 1
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    network.load_state_dict(state)
    for value in state.values():
        value += 1
    np.testing.assert_array_equal(network.state_dict()["fc.bias"], before["fc.bias"] + 1)


def test_a_state_that_does_not_fit_changes_nothing(rng):
    network = small_network(rng)
    before = network.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    with pytest.raises(ValueError, match=r"missing: \['fc.bias'\], unknown: \['fc.base'\]"):
        network.load_state_dict({("fc.base" if name == "fc.bias" else name): value for name, value in state.items()})
    with pytest.raises(ValueError, match=r"'fc.weight' must have shape \(3, 6\), got \(6, 3\)"):
        network.load_state_dict({**state, "fc.weight": state["fc.weight"].T})
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_cast_converts_everything_but_counts(rng):
    network = small_network(rng)
    network.cast(np.float64)
    kinds = {name: value.dtype for name, value in network.state_dict().items()}
    assert kinds.pop("stem.1.num_batches_tracked") == np.int64
    assert set(kinds.values()) == {np.dtype(np.float64)}
    assert network(np.zeros((2, 2, 4, 4))).dtype == np.float64


def test_one_layer_may_not_stand_at_two_places(rng):
    relu = ReLU()
    with pytest.raises(ValueError, match="ReLU stands at two places"):
        Sequential(relu, Linear(2, 2, rng=rng), relu)
    with pytest.raises(ValueError, match="ReLU stands at two places"):
        Sequential(Residual(Sequential(relu)), relu)


def test_parameter_names_must_differ(rng):
    with pytest.raises(ValueError, match=r"names of parameters must differ, got twice: fc\.bias, fc\.weight"):
        Sequential({"": Sequential({"fc": Linear(2, 2, rng=rng)}), "fc": Linear(2, 2, rng=rng)})
    with pytest.raises(ValueError, match="body and shortcut must have different names, got 'a' twice"):
        Residual(Linear(2, 2, rng=rng), Linear(2, 2, rng=rng), names=("a", "a"))


def test_containers_take_layers_or_one_mapping(rng):
    with pytest.raises(ValueError, match="one by one, or one mapping"):
        Sequential({"a": ReLU()}, {"b": ReLU()})
    assert list(Sequential(ReLU(), Tanh()).children()) == ["0", "1"]


def test_residual_refuses_sums_that_would_broadcast(rng):
    with pytest.raises(ValueError, match=r"must give one shape, got \(2, 1, 3, 3\) and \(2, 2, 3, 3\)"):
        Residual(Conv2d(2, 1, 1, rng=rng))(np.zeros((2, 2, 3, 3), np.float32))


def test_a_sequence_of_no_layers_is_the_identity():
    x = np.ones((2, 3))
    identity = Sequential()
    assert identity(x) is x
    assert identity.backward(x) is x
    identity.backward_parameters(x)
    np.testing.assert_array_equal(Residual(identity)(x), 2 * x)


def test_a_layer_without_backward_cannot_be_made():
    class Forgotten(Layer):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return x

    with pytest.raises(TypeError, match="abstract"):
        Forgotten()


def test_modes_reach_every_layer_and_come_back(rng):
    network = Sequential(Sequential(Dropout(0.5, rng=rng)), Residual(Sequential(Dropout(0.5, rng=rng))))
    _, inner = network.layers(), network.children()["1"]
    network.eval()
    assert not any(layer.training for _, layer in network.layers())
    network.train()
    inner.eval()
    with inference(network):
        assert not any(layer.training or layer.keeps_for_backward for _, layer in network.layers())
        x = np.ones((3, 4))
        np.testing.assert_array_equal(network(x), x * 2)  # x + x, nothing dropped
    assert network.training
    assert not inner.training
    assert all(layer.keeps_for_backward for _, layer in network.layers())


def test_inference_keeps_no_activations(rng):
    network = small_network(rng)
    network(np.zeros((2, 2, 4, 4), np.float32))
    with inference(network):
        network(np.zeros((2, 2, 4, 4), np.float32))
        assert all(layer._kept is None for _, layer in network.layers())


def test_evaluation_is_the_same_twice(rng):
    network, x = small_network(rng), rng.standard_normal((4, 2, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(predict(network, x), predict(network, x))


def test_predict_sees_every_image_once_in_order(rng):
    network, x = small_network(rng), rng.standard_normal((11, 2, 5, 5)).astype(np.float32)
    network.eval()
    expected = network(x)
    network.train()
    for batch_size in (1, 4, 11, 100):
        np.testing.assert_allclose(predict(network, x, batch_size), expected, rtol=1e-5, atol=1e-6)
    assert network.training
    with pytest.raises(ValueError, match="at least one image"):
        predict(network, x[:0])


@pytest.mark.parametrize(("count", "batch_size"), [(10, 3), (100, 100), (100, 10), (3, 128), (0, 4)])
def test_batches_hold_every_example_once(count, batch_size, rng):
    for generator in (None, rng):
        batches = list(batch_indices(count, batch_size, generator))
        assert sorted(np.concatenate(batches).tolist() if batches else []) == list(range(count))
        assert all(len(batch) == batch_size for batch in batches[:-1])


def test_every_epoch_has_an_order_of_its_own(rng):
    first, second = (np.concatenate(list(batch_indices(50, 8, rng))) for _ in range(2))
    assert not np.array_equal(first, second)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        list(batch_indices(3, 0))


def test_parameters_are_reached_through_all_levels(rng):
    network = small_network(rng)
    assert sum(p.data.size for p in network.parameters()) == sum(p.numel() for p in TorchNetwork().parameters())
    assert all(isinstance(p, Parameter) for p in network.parameters())


def test_backward_parameters_leaves_out_the_first_layer_s_input_alone(rng):
    network, x = small_network(rng), rng.standard_normal((3, 2, 5, 5)).astype(np.float32)
    dy = rng.standard_normal(network(x).shape).astype(np.float32)
    network.backward(dy)
    full = {name: p.grad for name, p in network.named_parameters().items()}
    network.zero_grad()
    network.backward_parameters(dy)
    for name, parameter in network.named_parameters().items():
        np.testing.assert_allclose(parameter.grad, full[name], rtol=1e-6)


def test_flatten_orders_values_channel_by_channel_whatever_the_memory(rng):
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(Flatten()(last), np.arange(24.0)[np.newaxis])
    flatten = Flatten()
    flatten(last)
    np.testing.assert_array_equal(flatten.backward(np.arange(24.0)[np.newaxis]), x)
