"""Any kernel, stride, padding and image size: the same shape and values as torch, or both refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nin_exp.reference.conv import Conv2d
from nin_exp.reference.geometry import Window
from nin_exp.reference.im2col import Im2col, PlaneIm2col
from nin_exp.reference.lowering import Pointwise, RowLowering
from nin_exp.reference.pooling import AvgPool2d, MaxPool2d

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
KERNELS = st.tuples(st.integers(1, 4), st.integers(1, 4))
STRIDES = st.tuples(st.integers(1, 3), st.integers(1, 3))
EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)


def torch_refuses(module: nn.Module, x: np.ndarray) -> bool:
    try:
        module(torch.from_numpy(x))
    except RuntimeError:
        return True
    return False


@EXAMPLES
@given(SIZES, KERNELS, STRIDES, st.tuples(st.integers(0, 5), st.integers(0, 5)), st.integers(1, 10), st.booleans())
def test_conv(same_as_torch, size, kernel, stride, padding, channels, bias):
    torch.manual_seed(0)
    module = nn.Conv2d(channels, 3, kernel, stride, padding, bias=bias).double()
    layer = Conv2d(channels, 3, kernel, stride, padding, bias, rng=np.random.default_rng(0), dtype=np.float64)
    x = np.random.default_rng(1).standard_normal((2, channels, *size))
    if torch_refuses(module, x):
        with pytest.raises(ValueError, match="must fit its image"):
            layer(x)
    else:
        same_as_torch(layer, module, x, tolerance=1e-10)


@EXAMPLES
@given(SIZES, KERNELS, STRIDES, st.integers(0, 2), st.booleans(), st.booleans(), st.booleans())
def test_pools(same_as_torch, size, kernel, stride, padding, ceil_mode, count_include_pad, is_max):
    pad = min(padding, kernel[0] // 2, kernel[1] // 2)
    x = np.random.default_rng(1).integers(0, 4, (2, 3, *size)).astype(float)  # many ties
    if is_max:
        layer = MaxPool2d(kernel, stride, pad, ceil_mode)
        module = nn.MaxPool2d(kernel, stride, pad, ceil_mode=ceil_mode)
    else:
        layer = AvgPool2d(kernel, stride, pad, ceil_mode, count_include_pad)
        module = nn.AvgPool2d(kernel, stride, pad, ceil_mode, count_include_pad)
    if torch_refuses(module, x):
        with pytest.raises(ValueError, match="must fit its image"):
            layer(x)
    else:
        same_as_torch(layer, module, x)


@EXAMPLES
@given(SIZES, KERNELS, STRIDES, st.integers(0, 3), st.integers(1, 3), st.integers(1, 5))
def test_every_lowering_gives_the_same_three_products(size, kernel, stride, padding, channels, images):
    window = Window(kernel, stride, (padding, padding))
    try:
        places = window.output_size(*size)
    except ValueError:
        return
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((images, *size, channels)), rng.standard_normal((*kernel, channels, 2))
    dy = rng.standard_normal((images, *places, 2))
    lowerings = [Im2col(window), PlaneIm2col(window)]
    lowerings += [RowLowering(window)] if stride == (1, 1) else []
    lowerings += [Pointwise(window)] if window == Window((1, 1), (1, 1), (0, 0)) else []
    results = []
    for lowering in lowerings:
        y, dx = np.full_like(dy, np.nan), np.full_like(x, np.nan)
        lowering.forward(x, w, y)
        lowering.input_gradient(dy, w, dx)
        dw = lowering.weight_gradient(x, dy)
        assert np.sum(y * dy) == pytest.approx(np.sum(dx * x), abs=1e-9) == pytest.approx(np.sum(dw * w), abs=1e-9)
        results.append((y, dw, dx))
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize("images", [1, 3, 8, 50])
def test_a_batch_that_does_not_divide_into_the_buffer(monkeypatch, images):
    """Pieces of one, of some and of all images give the same sums."""
    rng = np.random.default_rng(0)
    window = Window((3, 3), (2, 1), (1, 1))
    x, w = rng.standard_normal((images, 6, 5, 2)), rng.standard_normal((3, 3, 2, 4))
    dy = rng.standard_normal((images, *window.output_size(6, 5), 4))
    results = []
    for size in (1, 3 * 3 * 5 * 9 * 2 * 8, 1 << 24):
        monkeypatch.setattr("nin_exp.reference.im2col.BUFFER_BYTES", size)
        for lowering in (Im2col(window), PlaneIm2col(window)):
            y, dx = np.empty_like(dy), np.empty_like(x)
            lowering.forward(x, w, y)
            lowering.input_gradient(dy, w, dx)
            results.append((y, dx, lowering.weight_gradient(x, dy)))
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_pool_after_pool_keeps_the_published_sizes_of_nin():
    """cuda-convnet's pools round up: 32 to 16 to 8, and 28 to 14 to 7. Rounding down ends at 7 and 6."""
    x = np.zeros((1, 1, 32, 32), np.float32)
    pool = MaxPool2d(3, 2, ceil_mode=True)
    assert pool(pool(x)).shape == (1, 1, 8, 8)
    assert pool(pool(x[:, :, :28, :28])).shape == (1, 1, 7, 7)
    pool = MaxPool2d(3, 2)
    assert pool(pool(x)).shape == (1, 1, 7, 7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2d(1, 1, 0, rng=np.random.default_rng(0)), "kernel_size must be at least 1, got 0"),
        (lambda: Conv2d(1, 1, 3, 0, rng=np.random.default_rng(0)), "stride must be at least 1, got 0"),
        (lambda: Conv2d(1, 1, 3, 1, (0, -1), rng=np.random.default_rng(0)), r"padding must be at least 0, got \(0, -1"),
        (lambda: MaxPool2d(3, 2, 2), "padding must be at most half the kernel_size"),
        (lambda: AvgPool2d((2, 3), 2, (1, 2)), "padding must be at most half the kernel_size"),
    ],
)
def test_impossible_windows_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_inputs_that_do_not_fit_are_refused():
    conv = Conv2d(3, 4, 3, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"Conv2d must get \(N, C, H, W\) with C = 3, got \(2, 4, 8, 8\)"):
        conv(np.zeros((2, 4, 8, 8), np.float32))
    with pytest.raises(ValueError, match="Conv2d must get float32 as its weights, got float64"):
        conv(np.zeros((2, 3, 8, 8)))
    with pytest.raises(ValueError, match=r"a 3x3 window with padding .* must fit its image, got 2x9"):
        conv(np.zeros((2, 3, 2, 9), np.float32))


def test_an_empty_batch_passes_through():
    conv = Conv2d(3, 4, 3, rng=np.random.default_rng(0))
    pool = MaxPool2d(2)
    y = pool(conv(np.zeros((0, 3, 8, 8), np.float32)))
    assert y.shape == (0, 4, 3, 3)
    assert conv.backward(pool.backward(y)).shape == (0, 3, 8, 8)
    np.testing.assert_array_equal(conv.weight.grad, 0)
