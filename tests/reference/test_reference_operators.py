"""Every operator: against torch, against central differences, and (the linear ones) against its adjoint."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from nin_exp.reference.activations import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from nin_exp.reference.containers import Concat, Residual, Sequential
from nin_exp.reference.conv import Conv2d
from nin_exp.reference.dropout import Dropout, Dropout2d
from nin_exp.reference.linear import Flatten, Linear, Unflatten
from nin_exp.reference.local import LocallyConnected2d
from nin_exp.reference.module import Layer
from nin_exp.reference.norm import BatchNorm2d, LocalResponseNorm
from nin_exp.reference.pooling import AvgPool2d, GlobalAvgPool, GlobalMaxPool, MaxPool2d
from nin_exp.reference.shortcut import PaddingShortcut

RNG = np.random.default_rng(0)
F64 = {"rng": RNG, "dtype": np.float64}
IMAGES = (3, 5, 7, 6)


class TorchConcat(nn.Module):
    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for number, branch in enumerate(branches):
            self.add_module(str(number), branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class TorchResidual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        if shortcut is not None:
            self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + (self.shortcut(x) if hasattr(self, "shortcut") else x)


class TorchAmax(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.amax((2, 3))


class TorchPaddingShortcut(nn.Module):
    def __init__(self, extra_channels: int, stride: int) -> None:
        super().__init__()
        self.extra_channels, self.stride = extra_channels, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        thinned = x[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(thinned, (0, 0, 0, 0, 0, self.extra_channels))


class TorchLocal(nn.Conv1d):
    """A group of a convolution for each place."""

    def __init__(self, channels: int, size: tuple[int, int], out_channels: int, kernel: int) -> None:
        places = size[0] * size[1]
        super().__init__(places * channels * kernel**2, places * out_channels, 1, groups=places)
        self.window = nn.Unfold(kernel, padding=kernel // 2)
        self.maps = (out_channels, *size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        windows = self.window(x).transpose(1, 2).reshape(len(x), -1, 1)
        places = super().forward(windows).reshape(len(x), -1, self.maps[0])
        return places.transpose(1, 2).reshape(len(x), *self.maps)


def random_statistics(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        tensor.uniform_(0.5, 1.5)
    return norm


def projection() -> Layer:
    return Sequential(Conv2d(5, 4, 1, 2, bias=False, **F64), BatchNorm2d(4))


def torch_projection() -> nn.Module:
    return nn.Sequential(nn.Conv2d(5, 4, 1, 2, bias=False), random_statistics(nn.BatchNorm2d(4)))


Case = tuple[Callable[[], Layer], Callable[[], nn.Module], tuple[int, ...]]
CASES: dict[str, Case] = {
    "conv 3x3": (lambda: Conv2d(5, 4, 3, **F64), lambda: nn.Conv2d(5, 4, 3), IMAGES),
    "conv 3x2, stride 2x1, padding 1x2, no bias": (
        lambda: Conv2d(5, 4, (3, 2), (2, 1), (1, 2), bias=False, **F64),
        lambda: nn.Conv2d(5, 4, (3, 2), (2, 1), (1, 2), bias=False),
        IMAGES,
    ),
    "conv 1x1": (lambda: Conv2d(5, 4, 1, **F64), lambda: nn.Conv2d(5, 4, 1), IMAGES),
    "conv 1x1, stride 2": (lambda: Conv2d(5, 4, 1, 2, **F64), lambda: nn.Conv2d(5, 4, 1, 2), IMAGES),
    "conv 1x1, padding 1": (lambda: Conv2d(5, 4, 1, 1, 1, **F64), lambda: nn.Conv2d(5, 4, 1, 1, 1), IMAGES),
    "conv, padding above kernel - 1": (
        lambda: Conv2d(5, 4, 3, 1, 4, **F64),
        lambda: nn.Conv2d(5, 4, 3, 1, 4),
        IMAGES,
    ),
    "conv, many places and channels": (
        lambda: Conv2d(9, 4, 5, 1, 2, **F64),
        lambda: nn.Conv2d(9, 4, 5, 1, 2),
        (3, 9, 12, 13),
    ),
    "conv, many channels, few places": (
        lambda: Conv2d(9, 4, 3, 1, 1, **F64),
        lambda: nn.Conv2d(9, 4, 3, 1, 1),
        (3, 9, 4, 5),
    ),
    "conv, many channels, stride 3 leaves rows over": (
        lambda: Conv2d(9, 4, 3, 3, 0, **F64),
        lambda: nn.Conv2d(9, 4, 3, 3, 0),
        (3, 9, 13, 11),
    ),
    "conv, few channels to many": (
        lambda: Conv2d(3, 20, 5, 2, 2, **F64),
        lambda: nn.Conv2d(3, 20, 5, 2, 2),
        (3, 3, 9, 8),
    ),
    "linear": (lambda: Linear(6, 4, **F64), lambda: nn.Linear(6, 4), (5, 6)),
    "linear, no bias": (lambda: Linear(6, 4, bias=False, **F64), lambda: nn.Linear(6, 4, bias=False), (5, 6)),
    "flatten": (Flatten, nn.Flatten, IMAGES),
    "max pool 3/2 ceil": (
        lambda: MaxPool2d(3, 2, ceil_mode=True),
        lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
        IMAGES,
    ),
    "max pool 3/2 padding 1": (lambda: MaxPool2d(3, 2, 1), lambda: nn.MaxPool2d(3, 2, 1), IMAGES),
    "max pool 2": (lambda: MaxPool2d(2), lambda: nn.MaxPool2d(2), IMAGES),
    "max pool 17x1": (lambda: MaxPool2d((17, 1), 1), lambda: nn.MaxPool2d((17, 1), 1), (2, 3, 20, 4)),
    "max pool 17x16 has more than 256 offsets": (
        lambda: MaxPool2d((17, 16), 1),
        lambda: nn.MaxPool2d((17, 16), 1),
        (2, 3, 19, 18),
    ),
    "avg pool 3/2 ceil, padding 1": (
        lambda: AvgPool2d(3, 2, 1, ceil_mode=True),
        lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        IMAGES,
    ),
    "avg pool 3/2 ceil, padding 1 not counted": (
        lambda: AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        IMAGES,
    ),
    "avg pool 2": (lambda: AvgPool2d(2), lambda: nn.AvgPool2d(2), IMAGES),
    "global avg pool": (GlobalAvgPool, lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), IMAGES),
    "global max pool": (GlobalMaxPool, lambda: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), IMAGES),
    "global max pool, shared": (lambda: GlobalMaxPool(ties="share"), TorchAmax, IMAGES),
    "padding shortcut": (lambda: PaddingShortcut(2, 2), lambda: TorchPaddingShortcut(2, 2), IMAGES),
    "padding shortcut, same size": (lambda: PaddingShortcut(1, 1), lambda: TorchPaddingShortcut(1, 1), IMAGES),
    "unflatten": (Unflatten, lambda: nn.Unflatten(1, (-1, 1, 1)), (4, 6)),
    "locally connected": (
        lambda: LocallyConnected2d(5, (7, 6), 4, 3, **F64),
        lambda: TorchLocal(5, (7, 6), 4, 3),
        IMAGES,
    ),
    "locally connected, 1x1": (
        lambda: LocallyConnected2d(5, (7, 6), 2, 1, **F64),
        lambda: TorchLocal(5, (7, 6), 2, 1),
        IMAGES,
    ),
    "relu": (ReLU, nn.ReLU, IMAGES),
    "sigmoid": (Sigmoid, nn.Sigmoid, IMAGES),
    "tanh": (Tanh, nn.Tanh, IMAGES),
    "softmax over classes": (Softmax, lambda: nn.Softmax(1), (4, 6)),
    "softmax over channels": (Softmax, lambda: nn.Softmax(1), IMAGES),
    "softmax over the last axis": (lambda: Softmax(-1), lambda: nn.Softmax(-1), IMAGES),
    "log softmax": (LogSoftmax, lambda: nn.LogSoftmax(1), (4, 6)),
    "batch norm": (lambda: BatchNorm2d(5), lambda: random_statistics(nn.BatchNorm2d(5)), IMAGES),
    "batch norm, mean over all batches": (
        lambda: BatchNorm2d(5, eps=1e-3, momentum=None),
        lambda: random_statistics(nn.BatchNorm2d(5, eps=1e-3, momentum=None)),
        IMAGES,
    ),
    "batch norm, evaluation": (
        lambda: evaluating(BatchNorm2d(5)),
        lambda: random_statistics(nn.BatchNorm2d(5)).eval(),
        IMAGES,
    ),
    "local response norm": (
        lambda: LocalResponseNorm(3, 0.5, 0.6, 2.0),
        lambda: nn.LocalResponseNorm(3, 0.5, 0.6, 2.0),
        IMAGES,
    ),
    "local response norm, even size": (
        lambda: LocalResponseNorm(4, 0.5, 0.75, 1.0),
        lambda: nn.LocalResponseNorm(4, 0.5, 0.75, 1.0),
        IMAGES,
    ),
    "local response norm wider than the channels": (
        lambda: LocalResponseNorm(13, 0.5),
        lambda: nn.LocalResponseNorm(13, 0.5),
        IMAGES,
    ),
    "mlpconv": (
        lambda: Sequential(Conv2d(5, 6, 3, padding=1, **F64), ReLU(), Conv2d(6, 4, 1, **F64), ReLU()),
        lambda: nn.Sequential(nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.ReLU()),
        IMAGES,
    ),
    "concat": (
        lambda: Concat(Conv2d(5, 2, 1, **F64), Sequential(Conv2d(5, 3, 3, padding=1, **F64), Tanh())),
        lambda: TorchConcat(nn.Conv2d(5, 2, 1), nn.Sequential(nn.Conv2d(5, 3, 3, padding=1), nn.Tanh())),
        IMAGES,
    ),
    "concat of vectors": (
        lambda: Concat(Linear(6, 2, **F64), Linear(6, 3, **F64)),
        lambda: TorchConcat(nn.Linear(6, 2), nn.Linear(6, 3)),
        (4, 6),
    ),
    "residual": (
        lambda: Residual(Conv2d(5, 5, 3, padding=1, **F64)),
        lambda: TorchResidual(nn.Conv2d(5, 5, 3, padding=1)),
        IMAGES,
    ),
    "residual with projection": (
        lambda: Residual(Conv2d(5, 4, 3, 2, 1, **F64), projection()),
        lambda: TorchResidual(nn.Conv2d(5, 4, 3, 2, 1), torch_projection()),
        IMAGES,
    ),
}
LINEAR: dict[str, Case] = {
    name: CASES[name]
    for name in CASES
    if ("no bias" in name or name.startswith(("avg", "flatten", "unflatten", "global avg", "padding shortcut")))
    and "norm" not in name
}


def evaluating(layer: Layer) -> Layer:
    layer.eval()
    return layer


def built(name: str) -> tuple[Layer, nn.Module, np.ndarray]:
    torch.manual_seed(len(name))
    make, make_torch, shape = CASES[name]
    return make(), make_torch(), np.random.default_rng(len(name)).standard_normal(shape)


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_torch_in_float64(name, same_as_torch):
    layer, module, x = built(name)
    same_as_torch(layer, module, x)


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_torch_in_float32_and_stays_in_it(name, same_as_torch):
    layer, module, x = built(name)
    same_as_torch(layer, module, x.astype(np.float32), tolerance=2e-5)


@pytest.mark.parametrize("name", [name for name, (_, _, shape) in CASES.items() if len(shape) == 4])
@pytest.mark.parametrize("axes", [(0, 2, 3, 1), (1, 2, 3, 0), (3, 0, 1, 2), (2, 3, 0, 1)])
def test_agrees_with_torch_on_any_layout_in_memory(name, axes, same_as_torch):
    layer, module, x = built(name)
    x = np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))
    same_as_torch(layer, module, x)


@pytest.mark.parametrize("name", [n for n in CASES if "norm" not in n])
def test_agrees_with_torch_for_one_image(name, same_as_torch):
    layer, module, x = built(name)
    if any(isinstance(inner, BatchNorm2d) for _, inner in layer.layers()):
        layer.eval()
        module.eval()
    same_as_torch(layer, module, x[:1])


@pytest.mark.parametrize("name", CASES)
def test_slopes_along_random_directions(name, central_differences):
    layer, module, x = built(name)
    layer.cast(np.float64)
    layer.load_state_dict({key: value.numpy() for key, value in module.state_dict().items()})
    central_differences(layer, x)


@pytest.mark.parametrize("name", LINEAR)
def test_backward_is_the_adjoint(name, adjoint):
    layer, _, x = built(name)
    layer.cast(np.float64)
    adjoint(layer, x.shape)


def test_linear_cases_were_found():
    assert len(LINEAR) >= 10


@pytest.mark.parametrize("make", [lambda: Dropout(0.4, rng=RNG), lambda: Dropout2d(0.4, rng=RNG)])
def test_dropout_with_its_mask_fixed_is_linear_and_its_backward_the_adjoint(make, adjoint):
    layer = make()
    state = copy.deepcopy(layer.rng.bit_generator.state)
    forward = layer.forward

    def same_mask(x: np.ndarray) -> np.ndarray:
        layer.rng.bit_generator.state = copy.deepcopy(state)
        return forward(x)

    layer.forward = same_mask
    adjoint(layer, IMAGES)


@pytest.mark.parametrize("name", CASES)
def test_gradients_accumulate_until_cleared(name):
    layer, _, x = built(name)
    layer.cast(np.float64)
    dy = RNG.standard_normal(layer(x).shape)
    layer.backward(dy)
    once = {key: p.grad.copy() for key, p in layer.named_parameters().items()}
    layer.backward(dy)
    for key, parameter in layer.named_parameters().items():
        np.testing.assert_allclose(parameter.grad, 2 * once[key], rtol=1e-12)
    layer.zero_grad()
    assert all(p.grad is None for p in layer.parameters())
    layer.backward_parameters(dy)  # leaves out the input's gradient, and nothing else
    for key, parameter in layer.named_parameters().items():
        np.testing.assert_allclose(parameter.grad, once[key], rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_backward_needs_a_forward_pass(name):
    layer, _, x = built(name)
    with pytest.raises(RuntimeError, match="needs a forward pass first"):
        layer.backward(x)
