"""Global and local contrast normalisation and whitening against their definitions, computed in another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nin_exp.data.preprocess.channels import ChannelNormalization
from nin_exp.data.preprocess.gcn import GlobalContrast
from nin_exp.data.preprocess.lcn import LocalContrast
from nin_exp.data.preprocess.zca import fit_whitening
from nin_exp.errors import ConfigError

GCN = GlobalContrast(55.0, 1e-8)
LCN = LocalContrast(7, 2.0, 1e-4)


def expected_gcn(image: np.ndarray) -> np.ndarray:
    """One image, from exact integer sums: x - mean = (n x - sum) / n, and its squared norm = (n sum2 - sum^2) / n."""
    levels = [int(v) for v in image.ravel()]
    n, total, squares = len(levels), sum(levels), sum(v * v for v in levels)
    norm = math.sqrt((n * squares - total * total) / n)
    return np.array([(n * v - total) / n for v in levels]).reshape(image.shape) * (55 / norm if norm else 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**32))
def test_gcn_of_random_images(count, height, width, channels, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    found = GCN.apply(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack([expected_gcn(image) for image in images]), atol=1e-4, rtol=1e-6)


def test_gcn_by_hand():
    image = np.array([[1, 3], [5, 7]], dtype=np.uint8)[None, :, :, None]
    # mean 4; -3 -1 1 3 have norm sqrt(20)
    expected = np.array([[-3, -1], [1, 3]]) * 55 / math.sqrt(20)
    np.testing.assert_allclose(GCN.apply(image)[0, :, :, 0], expected, rtol=1e-6)


def test_gcn_of_one_colour_is_zero_and_not_a_division_by_zero():
    assert not GCN.apply(np.full((2, 4, 4, 3), 200, dtype=np.uint8)).any()
    least = GlobalContrast(1.0, 3.0)  # norm sqrt(8) < 3: centred but not divided
    image = np.array([[10, 12], [14, 12]], dtype=np.uint8)[None, :, :, None]
    assert least.apply(image).ravel().tolist() == [-2, 0, 2, 0]


def test_rows_do_not_depend_on_their_chunk(images, monkeypatch):
    pictures = images(9, (5, 5, 3), 0)
    whitening = fit_whitening(pictures, GCN, 0.1)
    whole = [p.apply(pictures) for p in (GCN, LCN, whitening)]
    monkeypatch.setattr("nin_exp.data.preprocess.gcn.CHUNK_VALUES", 150)
    again = fit_whitening(pictures, GCN, 0.1)
    for first, second in zip(whole, [p.apply(pictures) for p in (GCN, LCN, again)], strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("count", [200, 20])  # more and fewer images than the 48 values of each
def test_zca_against_the_singular_values_of_the_data(images, count):
    pictures = images(count, (4, 4, 3), 1)
    whitening = fit_whitening(pictures, GCN, 0.1)
    data = np.stack([expected_gcn(image).ravel() for image in pictures])
    mean = data.mean(axis=0)
    # X = U S V': the covariance is V S^2 V' / N, and the directions without data have variance 0.
    _, singular, directions = np.linalg.svd(data - mean, full_matrices=True)
    variances = np.zeros(48)
    variances[: len(singular)] = singular**2 / count
    matrix = directions.T @ np.diag(1 / np.sqrt(variances + 0.1)) @ directions
    assert whitening.mean.dtype == whitening.matrix.dtype == np.float32
    np.testing.assert_allclose(whitening.mean, mean, atol=1e-5)
    np.testing.assert_allclose(whitening.matrix, matrix, atol=1e-5)
    np.testing.assert_allclose(whitening.apply(pictures).reshape(count, -1), (data - mean) @ matrix, atol=1e-3)


def test_whitened_images_are_white():
    """With a bias that is nothing beside the variances, whitened training images have the identity as covariance."""
    rng = np.random.default_rng(2)
    mixing = rng.normal(size=(27, 27)) * 10
    pictures = np.clip(rng.normal(size=(4000, 27)) @ mixing + 128, 0, 255).astype(np.uint8).reshape(-1, 3, 3, 3)
    white = fit_whitening(pictures, GCN, 1e-4).apply(pictures).reshape(len(pictures), -1).astype(np.float64)
    values = np.linalg.eigvalsh(np.cov(white.T, bias=True))
    # One direction has no variance: global contrast normalisation has taken the mean of each image.
    assert values[0] < 1e-3
    np.testing.assert_allclose(values[1:], 1, atol=1e-3)


def test_images_too_large_to_whiten():
    with pytest.raises(ConfigError, match=r"gcn_zca needs images of at most 12288 values, got 65x64x3; lower"):
        fit_whitening(np.zeros((1, 65, 64, 3), dtype=np.uint8), GCN, 0.1)


def test_lcn_by_hand():
    """A row of three pixels and a window of three with weights a, 1, a; the border's window has 1, a alone."""
    a = math.exp(-0.5)
    inner, border = np.array([a, 1, a]) / (1 + 2 * a), np.array([1, a]) / (1 + a)
    x = np.array([51, 102, 204]) / 255  # 0.2 0.4 0.8
    v = np.array([x[0] - border @ x[:2], x[1] - inner @ x, x[2] - border @ x[[2, 1]]])
    s = np.sqrt([border @ v[:2] ** 2, inner @ v**2, border @ v[[2, 1]] ** 2])
    expected = v / np.maximum(s, s.mean())
    image = np.array([51, 102, 204], dtype=np.uint8).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(LocalContrast(3, 1.0, 1e-4).apply(image).ravel(), expected, rtol=1e-6)


def test_lcn_pixel_by_pixel(images):
    pictures = images(2, (9, 6, 2), 3)
    found = LCN.apply(pictures)
    for image, result in zip(pictures / 255, found, strict=True):
        for channel in range(2):
            plane = image[:, :, channel]

            def around(values: np.ndarray, y: int, x: int) -> float:
                total = weight_sum = 0.0
                for dy in range(-3, 4):
                    for dx in range(-3, 4):
                        if 0 <= y + dy < 9 and 0 <= x + dx < 6:
                            weight = math.exp(-(dx * dx + dy * dy) / 8)
                            total, weight_sum = total + weight * values[y + dy, x + dx], weight_sum + weight
                return total / weight_sum

            places = [(y, x) for y in range(9) for x in range(6)]
            centred = np.array([plane[p] - around(plane, *p) for p in places]).reshape(9, 6)
            deviation = np.sqrt([around(centred**2, *p) for p in places]).reshape(9, 6)
            expected = centred / np.maximum(deviation, deviation.mean())
            np.testing.assert_allclose(result[:, :, channel], expected, atol=1e-6)


def test_lcn_does_not_see_brightness_and_contrast(images):
    dark = images(3, (8, 8, 3), 4) // 4
    np.testing.assert_allclose(LCN.apply(dark), LCN.apply(dark * 3 + 20), atol=1e-5)


def test_lcn_of_one_colour_is_zero():
    assert np.abs(LCN.apply(np.full((1, 9, 9, 3), 200, dtype=np.uint8))).max() < 1e-10


def test_channels_by_definition(images):
    pictures = images(4, (3, 2, 3), 5)
    normalisation = ChannelNormalization("standardize", (0.1, 0.2, 0.3), (0.5, 0.25, 2.0))
    expected = (pictures / 255 - np.array([0.1, 0.2, 0.3])) / np.array([0.5, 0.25, 2.0])
    np.testing.assert_allclose(normalisation.apply(pictures), expected, atol=1e-6)
