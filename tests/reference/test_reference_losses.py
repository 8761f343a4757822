"""Losses: values and gradients against torch, and the gradient is that of the very value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from nin_exp.reference.losses import MSE, CrossEntropy, one_hot

LOGITS = np.random.default_rng(0).normal(0, 3, (7, 5))
LABELS = np.array([0, 4, 2, 2, 1, 3, 0])


def gradient_of(function, predictions: np.ndarray) -> tuple[float, np.ndarray]:
    tensor = torch.from_numpy(predictions.copy()).requires_grad_()
    value = function(tensor)
    value.backward()
    return float(value.detach()), tensor.grad.numpy()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_agrees_with_torch(reduction, smoothing, dtype, soft):
    # torch takes weights that do not sum to 1 as they are
    targets = 1.7 * np.random.default_rng(1).dirichlet(np.ones(5), 7).astype(dtype) if soft else LABELS
    logits = LOGITS.astype(dtype)
    loss = CrossEntropy(reduction, smoothing)
    expected, gradient = gradient_of(
        lambda z: functional.cross_entropy(
            z, torch.from_numpy(targets), reduction=reduction, label_smoothing=smoothing
        ),
        logits,
    )
    tolerance = 1e-12 if dtype is np.float64 else 3e-6
    assert loss(logits, targets) == pytest.approx(expected, rel=tolerance)
    assert loss.backward().dtype == dtype
    np.testing.assert_allclose(loss.backward(), gradient, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_mse_agrees_with_torch(reduction):
    targets = np.random.default_rng(1).standard_normal((7, 5))
    loss = MSE(reduction)
    expected, gradient = gradient_of(
        lambda y: functional.mse_loss(y, torch.from_numpy(targets), reduction=reduction), LOGITS
    )
    assert loss(LOGITS, targets) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(loss.backward(), gradient, rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("make", [CrossEntropy, MSE])
def test_the_gradient_is_that_of_the_value(make, reduction):
    loss, rng = make(reduction), np.random.default_rng(2)
    targets = LABELS if make is CrossEntropy else rng.standard_normal(LOGITS.shape)
    loss(LOGITS, targets)
    gradient, direction = loss.backward(), rng.standard_normal(LOGITS.shape)
    slope = (loss(LOGITS + 1e-6 * direction, targets) - loss(LOGITS - 1e-6 * direction, targets)) / 2e-6
    assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-6)


def test_nothing_given_is_changed():
    logits, labels = LOGITS.copy(), LABELS.copy()
    loss = CrossEntropy(label_smoothing=0.1)
    loss(logits, labels)
    first = loss.backward()
    before = first.copy()
    first += 1
    np.testing.assert_array_equal(logits, LOGITS)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(loss.backward(), before)


def test_logits_that_a_softmax_would_round_to_zero():
    loss = CrossEntropy("sum")
    assert loss(np.array([[0.0, 2000.0]]), np.array([0])) == 2000
    np.testing.assert_array_equal(loss.backward(), [[-1, 1]])
    assert loss(np.array([[0.0, -np.inf]]), np.array([0])) == 0
    np.testing.assert_array_equal(loss.backward(), [[0, 0]])


def test_uniform_logits_cost_the_logarithm_of_the_number_of_classes():
    assert CrossEntropy()(np.zeros((4, 10)), np.arange(4)) == pytest.approx(2.302585092994046)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (LOGITS, LABELS[:3], r"labels must be \(7,\) for logits \(7, 5\), got \(3,\)"),
        (LOGITS, LABELS + 1, r"labels must lie in \[0, 4\] for 5 logits, got 5"),
        (LOGITS, LABELS - 1, r"labels must lie in \[0, 4\] for 5 logits, got -1"),
        (LOGITS, LABELS.astype(float), r"targets must be integers \(N,\) or probabilities \(N, K\), got float64 \(7,"),
        (LOGITS[0], LABELS, r"logits must be \(N, K\)"),
        (LOGITS[:0], LABELS[:0], "N at least 1"),
    ],
)
def test_cross_entropy_refuses_what_does_not_fit(logits, targets, message):
    with pytest.raises(ValueError, match=message):
        CrossEntropy()(logits, targets)


def test_wrong_settings_and_calls_are_refused():
    with pytest.raises(ValueError, match="reduction must be one of mean, sum, got 'none'"):
        CrossEntropy("none")
    with pytest.raises(ValueError, match=r"label_smoothing must lie in \[0, 1\], got 1.5"):
        CrossEntropy(label_smoothing=1.5)
    with pytest.raises(ValueError, match=r"targets must have the shape \(7, 5\) of y, got \(7, 1\)"):
        MSE()(LOGITS, LOGITS[:, :1])
    with pytest.raises(RuntimeError, match=r"MSE.backward needs a forward pass first"):
        MSE().backward()


def test_one_hot():
    np.testing.assert_array_equal(one_hot(LABELS, 5).argmax(axis=1), LABELS)
    assert one_hot(LABELS, 5).sum() == 7
