"""Ties, exact zeros and large numbers, with results worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nin_exp.reference.activations import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh, log_softmax
from nin_exp.reference.dropout import Dropout, Dropout2d
from nin_exp.reference.module import inference
from nin_exp.reference.norm import BatchNorm2d, LocalResponseNorm
from nin_exp.reference.pooling import AvgPool2d, GlobalAvgPool, GlobalMaxPool, MaxPool2d


def image(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, float)[np.newaxis, np.newaxis]


def test_max_pool_gives_ties_to_the_first_in_reading_order():
    pool = MaxPool2d(2)
    assert pool(image([[1, 1], [1, 1]])).item() == 1
    np.testing.assert_array_equal(pool.backward(image([[5]])), image([[5, 0], [0, 0]]))
    pool(image([[0, 2], [2, 1]]))
    np.testing.assert_array_equal(pool.backward(image([[5]])), image([[0, 5], [0, 0]]))


def test_max_pool_adds_up_what_a_value_wins_in_several_windows():
    pool = MaxPool2d(3, 2)
    x = np.zeros((1, 1, 5, 5))
    x[0, 0, 2, 2] = 1
    np.testing.assert_array_equal(pool(x), np.ones((1, 1, 2, 2)))
    dx = pool.backward(image([[1, 2], [3, 4]]))
    assert dx[0, 0, 2, 2] == 10
    assert dx.sum() == 10


def test_max_pool_padding_never_wins_even_over_negative_values_or_minus_infinity():
    pool = MaxPool2d(3, 1, 1)
    np.testing.assert_array_equal(pool(image([[-7, -8], [-9, -6]])), image([[-6, -6], [-6, -6]]))
    pool(np.full((1, 1, 2, 2), -np.inf))
    np.testing.assert_array_equal(pool.backward(np.ones((1, 1, 2, 2))), image([[4, 0], [0, 0]]))


def test_max_pool_passes_nan_on():
    assert np.isnan(MaxPool2d(2)(image([[1, np.nan], [3, 2]])).item())


def test_max_pool_gives_the_same_without_keeping_winners():
    pool, x = MaxPool2d(3, 2, 1, ceil_mode=True), np.random.default_rng(0).standard_normal((2, 3, 8, 9))
    expected = pool(x)
    with inference(pool):
        np.testing.assert_array_equal(pool(x), expected)
        with pytest.raises(RuntimeError, match=r"MaxPool2d\.backward needs a forward pass first, outside inference"):
            pool.backward(expected)


def test_avg_pool_counts_padding_only_when_told():
    x = image([[4, 8], [12, 16]])
    np.testing.assert_array_equal(AvgPool2d(2, 2, 1)(x), image([[1, 2], [3, 4]]))
    np.testing.assert_array_equal(AvgPool2d(2, 2, 1, count_include_pad=False)(x), x)


def test_avg_pool_never_counts_what_hangs_over():
    x = image([[2, 4, 6]])
    np.testing.assert_array_equal(AvgPool2d((1, 2), 2, ceil_mode=True)(x), image([[3, 6]]))


def test_global_max_pool_gives_ties_to_the_first():
    pool = GlobalMaxPool()
    np.testing.assert_array_equal(pool(image([[0, 3], [3, 3]])), [[3]])
    np.testing.assert_array_equal(pool.backward(np.array([[2.0]])), image([[0, 2], [0, 0]]))


def test_global_max_pool_can_share_among_ties():
    pool = GlobalMaxPool(ties="share")
    np.testing.assert_array_equal(pool(image([[0, 3], [3, 3]])), [[3]])
    np.testing.assert_array_equal(pool.backward(np.array([[6.0]])), image([[0, 2], [2, 2]]))


def test_global_avg_pool_of_a_zero_map_still_has_a_gradient():
    pool = GlobalAvgPool()
    assert pool(np.zeros((1, 1, 4, 2))).item() == 0
    np.testing.assert_array_equal(pool.backward(np.array([[8.0]])), np.ones((1, 1, 4, 2)))


def test_relu_at_exact_zeros_has_gradient_zero():
    relu = ReLU()
    x = np.array([[-1.0, -0.0, 0.0, 1e-300, 2.0]])
    np.testing.assert_array_equal(relu(x), [[0, 0, 0, 1e-300, 2]])
    np.testing.assert_array_equal(relu.backward(np.full((1, 5), 3.0)), [[0, 0, 0, 3, 3]])


def test_relu_keeps_infinities():
    np.testing.assert_array_equal(ReLU()(np.array([[-np.inf, np.inf]])), [[0, np.inf]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_inputs_saturate_without_overflow(dtype):
    x = np.array([[-800.0, -20.0, 0.0, 800.0]], dtype)
    np.testing.assert_allclose(Sigmoid()(x), [[0, 2.0611536e-09, 0.5, 1]], rtol=1e-6)
    np.testing.assert_array_equal(Tanh()(np.array([[-800.0, 0.0, 800.0]], dtype)), [[-1, 0, 1]])
    np.testing.assert_allclose(Softmax()(np.array([[1e4, 0.0, 1e4]], dtype)), [[0.5, 0, 0.5]])
    np.testing.assert_allclose(LogSoftmax()(np.array([[1e4, 0.0]], dtype)), [[0, -1e4]])


def test_log_softmax_leaves_its_argument():
    x = np.array([[1.0, 2.0]])
    log_softmax(x, axis=1)
    np.testing.assert_array_equal(x, [[1, 2]])


@pytest.mark.parametrize("make", [Dropout, Dropout2d])
def test_dropout_keeps_the_mean_and_drops_p(make, rng):
    layer, x = make(0.25, rng=rng), np.ones((200, 50, 4, 4), np.float32)
    y = layer(x)
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    spread = 4 * np.sqrt(0.25 * 0.75 / (200 * 50))
    assert np.mean(y == 0) == pytest.approx(0.25, abs=spread)
    np.testing.assert_array_equal(layer.backward(x), y)  # the same mask, the same scale
    assert (y.dtype, layer.backward(x).dtype) == (np.float32, np.float32)


def test_dropout2d_drops_whole_maps(rng):
    y = Dropout2d(0.5, rng=rng)(np.ones((10, 20, 3, 3)))
    per_map = y.reshape(200, 9)
    assert np.all(per_map == per_map[:, :1])


@pytest.mark.parametrize("make", [Dropout, Dropout2d])
def test_dropout_is_off_in_evaluation_and_at_zero(make, rng):
    x = rng.standard_normal((2, 3, 4, 4))
    layer = make(0.9, rng=rng)
    layer.eval()
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer.backward(x), x)
    np.testing.assert_array_equal(make(0.0, rng=rng)(x), x)


def test_dropout_of_everything_is_zero(rng):
    layer = Dropout(1.0, rng=rng)
    np.testing.assert_array_equal(layer(np.ones((2, 3))), np.zeros((2, 3)))
    np.testing.assert_array_equal(layer.backward(np.ones((2, 3))), np.zeros((2, 3)))


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_dropout_refuses_what_is_no_probability(p, rng):
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\], the probability to drop, got"):
        Dropout(p, rng=rng)


def test_dropout_draws_do_not_depend_on_the_threads(rng):
    masks = []
    for _ in range(2):
        layer = Dropout(0.5, rng=np.random.default_rng(3))
        masks.append(layer(np.ones((4, 5, 6, 6))))
    np.testing.assert_array_equal(*masks)


def test_batch_norm_normalises_and_tracks():
    norm, x = BatchNorm2d(2, dtype=np.float64), np.random.default_rng(0).normal(5, 3, (6, 2, 4, 4))
    y = norm(x)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=(0, 2, 3)), 1, rtol=1e-5)
    state = norm.state_dict()
    np.testing.assert_allclose(state["running_mean"], 0.1 * x.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(state["running_var"], 0.9 + 0.1 * x.var(axis=(0, 2, 3), ddof=1))
    assert state["num_batches_tracked"] == 1
    norm.eval()
    norm(x)
    assert norm.state_dict()["num_batches_tracked"] == 1


def test_batch_norm_of_a_constant_map_is_its_shift():
    norm = BatchNorm2d(1, dtype=np.float64)
    norm.beta.data[...] = 7
    np.testing.assert_array_equal(norm(np.full((2, 1, 3, 3), 4.0)), np.full((2, 1, 3, 3), 7.0))
    assert np.all(np.isfinite(norm.backward(np.ones((2, 1, 3, 3)))))


def test_batch_norm_needs_more_than_one_value_in_training():
    norm = BatchNorm2d(2)
    with pytest.raises(ValueError, match="more than 1 value a channel in training"):
        norm(np.zeros((1, 2, 1, 1), np.float32))
    norm.eval()
    assert norm(np.zeros((1, 2, 1, 1), np.float32)).shape == (1, 2, 1, 1)


def test_batch_norm_keeps_float32_digits_over_many_values():
    """A sum of 300,000 float32 values one after the other would be off by some 5e-6."""
    x = np.random.default_rng(0).normal(100, 1, (75, 2, 64, 64)).astype(np.float32)
    norm = BatchNorm2d(2)
    norm(x)
    exact = 0.1 * x.astype(np.float64).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(norm.state_dict()["running_mean"], exact, rtol=1e-6)
    np.testing.assert_allclose(
        norm.state_dict()["running_var"], 0.9 + 0.1 * x.astype(np.float64).var(axis=(0, 2, 3)), rtol=2e-6
    )


def test_local_response_norm_of_alexnet_by_hand():
    x = np.arange(1.0, 5.0).reshape(1, 4, 1, 1)
    y = LocalResponseNorm(3, alpha=3.0, beta=1.0, k=2.0)(x)
    np.testing.assert_allclose(y.ravel(), [1 / 7, 2 / 16, 3 / 31, 4 / 27])
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        LocalResponseNorm(0)
