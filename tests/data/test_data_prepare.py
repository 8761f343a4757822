from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nin_exp.contracts.data import DataSource, ImageArrays, LoadedData
from nin_exp.data.fingerprint import fingerprint
from nin_exp.data.prepare import prepare
from nin_exp.data.preprocess.channels import fit_channels
from nin_exp.data.resize import resize_arrays, resize_images
from nin_exp.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class InMemory(DataSource):
    data: LoadedData

    def load(self, data_dir: Path) -> LoadedData:
        return self.data


@pytest.fixture
def in_memory(common, make_loaded):
    def make(data=None, **changes):
        return InMemory(**(common | {"data": data if data is not None else make_loaded()} | changes))

    return make


def test_splits_cover_the_training_images_and_leave_the_test_alone(tmp_path, in_memory):
    source = in_memory()
    prepared = prepare(source, tmp_path, split_seed=0)
    assert (len(prepared.train), len(prepared.val), len(prepared.test)) == (30, 10, 10)
    both = np.sort(np.concatenate([prepared.train_indices, prepared.val_indices]))
    assert np.array_equal(both, np.arange(40))
    assert np.array_equal(prepared.train.images, source.data.train.images[prepared.train_indices])
    assert np.array_equal(prepared.val.labels, source.data.train.labels[prepared.val_indices])
    other = prepare(source, tmp_path, split_seed=1)
    assert not np.array_equal(other.val_indices, prepared.val_indices)
    assert np.array_equal(other.test.images, prepared.test.images)
    assert other.fingerprint == prepared.fingerprint == fingerprint(source.data)


def test_mean_and_deviation_are_those_of_the_training_split_alone(tmp_path, in_memory):
    prepared = prepare(in_memory(), tmp_path, split_seed=3)
    scaled = prepared.train.images.astype(np.float64) / 255
    assert prepared.preprocessing.mean == pytest.approx(scaled.mean(axis=(0, 1, 2)), abs=1e-12)
    assert prepared.preprocessing.std == pytest.approx(scaled.std(axis=(0, 1, 2)), abs=1e-12)
    everything = in_memory().data.train.images / 255
    assert prepared.preprocessing.mean != pytest.approx(everything.mean(axis=(0, 1, 2)), abs=1e-6)


def test_they_are_measured_after_resizing_and_limiting(tmp_path, in_memory):
    prepared = prepare(in_memory(image_size=4, train_limit=12), tmp_path, split_seed=3)
    scaled = prepared.train.images / 255
    assert prepared.train.images.shape == (12, 4, 4, 3)
    assert prepared.val.images.shape == (10, 4, 4, 3)
    assert prepared.preprocessing.mean == pytest.approx(scaled.mean(axis=(0, 1, 2)))
    assert str(prepared.image_spec) == "3x4x4"


def test_limiting_leaves_validation_alone_and_keeps_classes_even(tmp_path, in_memory):
    full, limited = (prepare(in_memory(train_limit=limit), tmp_path, split_seed=0) for limit in (None, 8))
    assert np.array_equal(full.val_indices, limited.val_indices)
    assert np.bincount(limited.train.labels).tolist() == [2, 2, 2, 2]
    assert set(limited.train_indices) <= set(full.train_indices)
    with pytest.raises(
        ConfigError,
        match=r"must leave at least the 4 classes, got 3 images; raise them",
    ):
        prepare(in_memory(train_limit=3), tmp_path, split_seed=0)


def test_fractions_of_the_training_images_lie_in_each_other(tmp_path, in_memory, make_loaded):
    loaded = make_loaded(num_train=800)
    parts = [
        prepare(in_memory(loaded, train_fraction=fraction), tmp_path, split_seed=0) for fraction in (0.01, 0.05, 0.1, 1)
    ]
    assert [len(part.train) for part in parts] == [6, 30, 60, 600]
    for smaller, larger in pairwise(parts):
        assert set(smaller.train_indices) < set(larger.train_indices)
        assert np.array_equal(smaller.val_indices, larger.val_indices)
        assert min(np.bincount(smaller.train.labels, minlength=4)) >= 1
    both = prepare(in_memory(loaded, train_fraction=0.1, train_limit=20), tmp_path, split_seed=0)
    assert len(both.train) == 20
    with pytest.raises(ConfigError, match="must leave at least the 4 classes, got 3 images; raise them"):
        prepare(in_memory(loaded, train_fraction=0.005), tmp_path, split_seed=0)


@pytest.mark.parametrize("value", [0.0, 1.5, None])
def test_fractions_out_of_range(common, value):
    from nin_exp.data.sources.digits import Digits

    with pytest.raises(ValueError, match=r"train_fraction must (lie in \(0, 1\]|be a number)"):
        Digits(**(common | {"train_fraction": value}))


@pytest.mark.parametrize(
    ("kind", "expected"), [("unit", [0, 0.2, 1]), ("centered", [-0.5, -0.3, 0.5]), ("signed", [-1, -0.6, 1])]
)
def test_fixed_preprocessing(kind, expected):
    images = np.repeat(np.array([0, 51, 255], dtype=np.uint8), 2).reshape(3, 1, 1, 2)
    found = fit_channels(images, kind).apply(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.ravel(), np.repeat(expected, 2), atol=1e-6)


def test_a_constant_channel_is_not_divided_by_zero():
    images = np.full((2, 3, 3, 2), 51, dtype=np.uint8)
    images[0, 0, 0, 1] = 0
    found = fit_channels(images, "standardize")
    mean, std = found.mean, found.std
    assert mean[0] == pytest.approx(0.2)
    assert std[0] == 1.0
    assert 0 < std[1] < 1


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2100), st.integers(1, 4), st.integers(0, 2**32))
def test_exact_sums_agree_with_numpy(count, channels, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, 2, 3, channels), dtype=np.uint8)
    found = fit_channels(images, "standardize")
    mean, std = found.mean, found.std
    assert mean == pytest.approx((images / 255).mean(axis=(0, 1, 2)), abs=1e-12)
    assert std == pytest.approx((images / 255).std(axis=(0, 1, 2)), abs=1e-9)


def test_chance_is_the_share_of_the_most_frequent_test_class(tmp_path, in_memory, make_loaded):
    loaded = make_loaded()
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, 3, 0])
    prepared = prepare(in_memory(replace(loaded, test=replace(loaded.test, labels=labels))), tmp_path, split_seed=0)
    assert prepared.chance == 0.5
    assert prepared.num_classes == 4


def test_two_images_of_two_classes_cannot_be_split(tmp_path, in_memory, make_loaded):
    with pytest.raises(DataError, match="validation needs a class with at least 2 training images"):
        prepare(in_memory(make_loaded(num_train=2, classes=2)), tmp_path, split_seed=0)


def test_resizing_is_pillows(images):
    pictures = images(3, (9, 7, 3), 0)
    found = resize_images(pictures, 5)
    for picture, resized in zip(pictures, found, strict=True):
        assert np.array_equal(resized, np.asarray(Image.fromarray(picture).resize((5, 5), Image.Resampling.BILINEAR)))


def test_halving_averages_and_does_not_skip():
    # Antialiased: a checkerboard becomes grey, where taking every other pixel would give black or white.
    board = np.indices((16, 16)).sum(axis=0) % 2 * 255
    found = resize_images(board.astype(np.uint8)[None, :, :, None], 8)
    assert np.abs(found.astype(int) - 127.5).max() < 3  # at the border the filter is cut off


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels_are_resized_one_like_the_other(images, channels):
    pictures = images(2, (9, 7, channels), 1)
    alone = np.concatenate([resize_images(pictures[..., c : c + 1], 6) for c in range(channels)], axis=3)
    assert np.array_equal(resize_images(pictures, 6), alone)


def test_images_of_the_wanted_size_are_not_touched(images):
    pictures = images(2, (6, 6, 3), 1)
    assert resize_images(pictures, 6) is pictures


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_boxes_follow_their_images_and_still_hold_the_object(data):
    height, width, size = (data.draw(st.integers(2, 30)) for _ in range(3))
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    arrays = ImageArrays(
        np.zeros((1, height, width, 1), np.uint8), np.zeros(1, np.int64), np.array([[left, top, right, bottom]])
    )
    found = resize_arrays(arrays, size).boxes[0]
    exact = np.array([left / width, top / height, right / width, bottom / height]) * size
    assert (found[:2] <= exact[:2] + 1e-9).all()
    assert (found[2:] >= exact[2:] - 1e-9).all()
    assert np.abs(found - exact).max() < 1
    assert (found[:2] < found[2:]).all()
    assert found.min() >= 0
    assert found.max() <= size
