"""Optimizers, step by step against torch; initial weights against their variances."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nin_exp.reference import initialisers
from nin_exp.reference.containers import Residual, Sequential
from nin_exp.reference.conv import Conv2d
from nin_exp.reference.linear import Linear
from nin_exp.reference.module import Parameter
from nin_exp.reference.norm import BatchNorm2d
from nin_exp.reference.optimizers import SGD, Adam, Optimizer, clip_gradient_norm

SHAPES = [(3, 2), (3,), (4, 1, 2, 2)]


def pairs(dtype: type = np.float64) -> tuple[list[Parameter], list[torch.Tensor]]:
    rng = np.random.default_rng(0)
    ours = [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in SHAPES]
    return ours, [torch.from_numpy(p.data.copy()).requires_grad_() for p in ours]


def run(ours: list[Parameter], theirs: list[torch.Tensor], a: Optimizer, b: torch.optim.Optimizer) -> None:
    rng = np.random.default_rng(1)
    for step in range(6):
        for number, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            without = step == 2 and number == 1  # a parameter that a step does not reach
            gradient = rng.standard_normal(p.data.shape).astype(p.data.dtype)
            p.grad = None if without else gradient
            q.grad = None if without else torch.from_numpy(gradient.copy())
        if step == 4:
            for group in (*a.groups, *b.param_groups):
                group["lr"] *= 0.1
        before = [None if p.grad is None else p.grad.copy() for p in ours]
        a.step()
        b.step()
        for p, q, gradient in zip(ours, theirs, before, strict=True):
            tolerance = 1e-12 if p.data.dtype == np.float64 else 1e-6
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=tolerance, atol=tolerance)
            assert p.data.dtype == q.detach().numpy().dtype
            assert (p.grad is None) == (gradient is None)
            if gradient is not None:
                np.testing.assert_array_equal(p.grad, gradient)  # the step reads it and no more


SGD_SETTINGS = [
    {"lr": 0.1},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    {"lr": 0.1, "weight_decay": 0.01},
    {"lr": 0.1, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1},
]


@pytest.mark.parametrize("settings", SGD_SETTINGS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sgd(settings, dtype):
    ours, theirs = pairs(dtype)
    run(ours, theirs, SGD(ours, **settings), torch.optim.SGD(theirs, **settings))


@pytest.mark.parametrize(
    "settings",
    [{}, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}, {"lr": 0.01, "weight_decay": 0.1}, {"amsgrad": True}],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_adam(settings, dtype):
    ours, theirs = pairs(dtype)
    run(ours, theirs, Adam(ours, **settings), torch.optim.Adam(theirs, **settings))


def test_adamw():
    ours, theirs = pairs()
    a = Adam(ours, lr=0.01, weight_decay=0.1, decoupled=True)
    run(ours, theirs, a, torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1))


def test_groups_have_settings_of_their_own():
    """NiN's published rates: biases twice the rate and no decay, the last layer a tenth."""
    ours, theirs = pairs()
    settings = [{"weight_decay": 1e-2}, {"lr": 0.2}, {"lr": 0.01, "weight_decay": 1e-2, "momentum": 0.0}]
    a = SGD([{"parameters": [p], **s} for p, s in zip(ours, settings, strict=True)], lr=0.1, momentum=0.9)
    b = torch.optim.SGD([{"params": [p], **s} for p, s in zip(theirs, settings, strict=True)], lr=0.1, momentum=0.9)
    run(ours, theirs, a, b)


@pytest.mark.parametrize(
    "make", [lambda p: SGD(p, lr=0.1, momentum=0.9), lambda p: Adam(p, lr=0.1)], ids=["sgd", "adam"]
)
def test_a_state_goes_on_as_if_never_interrupted(make):
    rng = np.random.default_rng(2)
    gradients = [[rng.standard_normal(shape) for shape in SHAPES] for _ in range(6)]

    def steps(parameters: list[Parameter], optimizer: Optimizer, some: list[list[np.ndarray]]) -> None:
        for step in some:
            for p, g in zip(parameters, step, strict=True):
                p.grad = g
            optimizer.step()

    whole, _ = pairs()
    steps(whole, make(whole), gradients)
    first, _ = pairs()
    optimizer = make(first)
    steps(first, optimizer, gradients[:3])
    second = [Parameter(p.data.copy()) for p in first]
    resumed = make(second)
    resumed.load_state_dict(optimizer.state_dict())
    steps(second, resumed, gradients[3:])
    for p, q in zip(whole, second, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_states_that_do_not_fit_are_refused():
    ours, _ = pairs()
    optimizer = SGD(ours, lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match=r"must name one of 3 parameters, got '7\.momentum_buffer'"):
        optimizer.load_state_dict({"7.momentum_buffer": np.zeros(3)})
    with pytest.raises(ValueError, match=r"'0.momentum_buffer' must have shape \(3, 2\), got \(2, 3\)"):
        optimizer.load_state_dict({"0.momentum_buffer": np.zeros((2, 3))})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD([], lr=0.1), "at least one parameter"),
        (lambda p: SGD([*p, p[0]], lr=0.1), "each of them once"),
        (lambda p: SGD(p, lr=-1), "lr must be at least 0, got -1"),
        (lambda p: SGD(p, lr=float("nan")), "lr must be at least 0, got nan"),
        (lambda p: SGD(p, lr=0.1, nesterov=True), "nesterov needs momentum above 0"),
        (lambda p: SGD([{"parameters": p, "momentun": 0.9}], lr=0.1), r"got \['momentun'\]"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), r"betas must lie in \[0, 1\), got \(0.9, 1.0\)"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(pairs()[0])


def test_gradients_are_cleared():
    ours, _ = pairs()
    ours[0].grad = np.ones((3, 2))
    SGD(ours, lr=0.1).zero_grad()
    assert ours[0].grad is None


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_agrees_with_torch(max_norm):
    ours, theirs = pairs()
    for p, q in zip(ours, theirs, strict=True):
        p.grad = p.data * 2
        q.grad = torch.from_numpy(p.grad.copy())
    norm = clip_gradient_norm(ours, max_norm)
    assert norm == pytest.approx(float(torch.nn.utils.clip_grad_norm_(theirs, max_norm)), rel=1e-12)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-5)


SHAPE = (64, 32, 5, 5)  # fan_in 800, fan_out 1600


@pytest.mark.parametrize(
    ("draw", "variance", "bound"),
    [
        (lambda rng: initialisers.normal(SHAPE, 0.05, rng), 0.05**2, None),
        (lambda rng: initialisers.uniform(SHAPE, 0.3, rng), 0.3**2 / 3, 0.3),
        (lambda rng: initialisers.xavier_normal(SHAPE, rng), 2 / 2400, None),
        (lambda rng: initialisers.xavier_uniform(SHAPE, rng, gain=2.0), 4 * 2 / 2400, 2 * (6 / 2400) ** 0.5),
        (lambda rng: initialisers.kaiming_normal(SHAPE, rng), 2 / 800, None),
        (lambda rng: initialisers.kaiming_uniform(SHAPE, rng, "fan_out"), 2 / 1600, (6 / 1600) ** 0.5),
        (lambda rng: initialisers.torch_default(SHAPE, 800, rng), 1 / 800 / 3, 800**-0.5),
    ],
)
def test_initial_weights_have_the_variance_of_their_source(draw, variance, bound, rng):
    weights = draw(rng)
    assert (weights.shape, weights.dtype) == (SHAPE, np.float32)
    assert weights.var() == pytest.approx(variance, rel=0.03)  # four standard errors, normal
    assert abs(weights.mean()) < 5 * (variance / weights.size) ** 0.5
    if bound is not None:
        assert 0.99 * bound < np.abs(weights).max() <= np.float32(bound)
    np.testing.assert_array_equal(draw(np.random.default_rng(5)), draw(np.random.default_rng(5)))


def test_fans_agree_with_torch():
    expected = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(SHAPE))
    assert initialisers.fans(SHAPE) == expected
    with pytest.raises(ValueError, match=r"at least two axes, got shape \(5,\)"):
        initialisers.fans((5,))


def test_constants():
    np.testing.assert_array_equal(initialisers.zeros((2, 2)), np.zeros((2, 2)))
    np.testing.assert_array_equal(initialisers.constant((2,), 3.0), [3, 3])


def test_new_layers_start_as_torch_s_do(rng):
    conv, linear = Conv2d(32, 64, 5, rng=rng), Linear(800, 900, rng=rng)
    for layer in (conv, linear):
        for name, parameter in layer.named_parameters().items():
            assert 0.9 * 800**-0.5 < np.abs(parameter.data).max() <= np.float32(800**-0.5), name


def test_initialise_reaches_every_weight_however_deep(rng):
    network = Sequential(
        Sequential(Sequential(Conv2d(3, 40, 3, rng=rng), BatchNorm2d(40))),
        Residual(Sequential(Conv2d(40, 40, 3, rng=rng)), Conv2d(40, 40, 1, rng=rng)),
        Linear(40, 30, rng=rng),
    )
    count = initialisers.initialise(network, lambda shape, g: initialisers.normal(shape, 7.0, g), rng, bias=0.5)
    assert count == 4
    for name, value in network.state_dict().items():
        if value.ndim >= 2:
            assert value.std() == pytest.approx(7, rel=0.1), name
        elif name.endswith("bias") and not name.startswith("0.0.1"):
            np.testing.assert_array_equal(value, 0.5)
    np.testing.assert_array_equal(network.state_dict()["0.0.1.weight"], 1)
