"""Images of any kind become the levels that training saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nin_exp.contracts.data import ImageSpec
from nin_exp.data.images import UnreadableImageError
from nin_exp.data.resize import resize_images
from nin_exp.errors import DataError
from nin_exp.inference.images import each_image, fit, read_levels, to_rgb

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)
PALETTE = Image.fromarray(RGB).quantize(48)


@pytest.mark.parametrize(
    "image",
    [
        GREY,
        GREY[:, :, None],
        GREY.astype(np.int64),
        GREY.astype(np.uint16) * 257,
        (GREY / 255).astype(np.float64),
        (GREY / 255).astype(np.float32),
        torch.from_numpy(GREY),
        torch.from_numpy(GREY)[None],
        torch.from_numpy(GREY)[None].float() / 255,
        torch.from_numpy(GREY)[None].double().requires_grad_() / 255,
        Image.fromarray(GREY),
        Image.fromarray(GREY).convert("RGB"),
        Image.fromarray(GREY).convert("RGBA"),
        np.repeat(GREY[:, :, None], 3, axis=2),
        torch.from_numpy(GREY).expand(3, 6, 8),
        Image.fromarray(GREY.astype(np.uint16) * 257),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kinds_of_a_grey_image_agree(image) -> None:
    assert np.array_equal(read_levels(image, 1, "x")[:, :, 0], GREY)
    assert np.array_equal(to_rgb(image, "x"), np.repeat(GREY[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    "image",
    [
        RGB,
        RGB / 255,
        torch.from_numpy(RGB).permute(2, 0, 1),
        (torch.from_numpy(RGB).permute(2, 0, 1) / 255).half(),
        Image.fromarray(RGB),
        np.dstack([RGB, np.full(GREY.shape, 255, np.uint8)]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kinds_of_a_coloured_image_agree(image) -> None:
    assert np.array_equal(read_levels(image, 3, "x"), RGB)


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "webp", "gif"])
def test_files_agree_with_arrays(tmp_path, ending) -> None:
    path = tmp_path / f"image.{ending}"
    image = PALETTE if ending == "gif" else Image.fromarray(RGB)
    image.save(path, **({"lossless": True} if ending == "webp" else {}))
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(read_levels(path, 3, "x"), expected)
    assert np.array_equal(read_levels(str(path), 3, "x"), expected)


def test_transparency_is_laid_on_white() -> None:
    clear = np.zeros((4, 4, 4), np.uint8)
    assert (read_levels(clear, 3, "x") == 255).all()
    assert (read_levels(Image.fromarray(clear), 1, "x") == 255).all()


def test_orientation_is_undone() -> None:
    image = Image.fromarray(RGB)
    image.getexif()[0x0112] = 6  # turned a quarter to the right to be shown
    assert np.array_equal(read_levels(image, 3, "x"), np.rot90(RGB, -1))


def test_bool_and_other_channel_counts() -> None:
    assert set(np.unique(read_levels(GREY > 100, 1, "x"))) == {0, 255}
    five = np.repeat(GREY[:, :, None], 5, axis=2)
    assert np.array_equal(read_levels(five, 5, "x"), five)
    assert to_rgb(five, "x").shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("image", "channels", "message"),
    [
        (np.full((4, 4), 1.5), 1, r"levels must lie in 0 … 1 \(float64\), got 1.5 … 1.5"),
        (torch.randn(3, 4, 4) - 5, 3, r"levels must lie in 0 … 1 \(float32\).*not normalised"),
        (np.full((4, 4), np.nan), 1, "levels must lie in 0 … 1"),
        (np.full((4, 4), 300), 1, r"levels must lie in 0 … 255 \(int64\), got 300 … 300"),
        (np.zeros(4, np.uint8), 1, r"must be \(H, W\), \(H, W, C\) or \(N, H, W, C\), got \(4,\)"),
        (np.zeros((0, 4), np.uint8), 1, r"got \(0, 4, 1\)"),
        (np.zeros((4, 4, 7), np.uint8), 3, r"must have 1 to 4 channels, last, got \(4, 4, 7\)"),
        (np.array([["a"]]), 1, "must hold numbers, got <U1"),
        (torch.zeros(1, 2, 3, 4, 5), 1, r"a tensor must be \(C, H, W\).*got \(1, 2, 3, 4, 5\)"),
        (Image.fromarray(GREY), 5, "the network takes 5 channels"),
        (Image.fromarray(GREY.astype(np.float32)), 1, "mode F has no defined grey levels"),
        ("nowhere.png", 3, "nowhere.png: not a file"),
        (3, 3, "must be a path, a Pillow image, an array or a tensor, got int"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_image(image, channels, message) -> None:
    with pytest.raises(UnreadableImageError, match=message):
        read_levels(image, channels, "x")


def test_truncated_pillow_image(tmp_path) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:500])
    with Image.open(path) as image, pytest.raises(UnreadableImageError, match="x: "):
        read_levels(image, 3, "x")


@pytest.mark.parametrize(
    ("images", "channels", "count"),
    [
        (GREY, 1, 1),
        (RGB, 1, 1),
        (np.zeros((5, 8, 8), np.uint8), 1, 5),  # grey images, as x_test of MNIST holds them
        (np.zeros((5, 8, 8, 3), np.uint8), 3, 5),
        (np.zeros((8, 8, 5), np.uint8), 5, 1),
        (torch.zeros(3, 8, 8), 3, 1),
        (torch.zeros(5, 1, 8, 8), 1, 5),
        ("a.png", 3, 1),
        (Image.fromarray(GREY), 3, 1),
        (["a.png", GREY, Image.fromarray(RGB)], 3, 3),
        ((name for name in "abc"), 3, 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_batches_are_taken_apart(images, channels, count) -> None:
    assert len(list(each_image(images, channels))) == count


def test_nothing_like_images() -> None:
    with pytest.raises(DataError, match="images must be paths, Pillow images, arrays or tensors, got int"):
        list(each_image(3, 3))


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 2, 3, 4]),
    side=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_fit_is_the_resize_of_training(height, width, channels, side, seed) -> None:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    fitted = fit(levels, ImageSpec(channels, side, side))
    assert np.array_equal(fitted, resize_images(levels[None], side)[0])
    assert fit(levels, ImageSpec(channels, side, side + 3)).shape == (side, side + 3, channels)


def test_sizes_and_kinds_through_the_network(run, test_images) -> None:
    image = test_images[5]
    (expected,) = run.predict(image)
    large = np.kron(image, np.ones((4, 5), np.uint8))
    (grown,) = run.predict(torch.from_numpy(large)[None])
    shrunk = np.asarray(Image.fromarray(large).resize((8, 8), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(grown.logits, run.predict(shrunk)[0].logits, atol=1e-5)
    mixed = run.predict([image, Image.fromarray(image).convert("RGBA"), torch.from_numpy(image) / 255])
    assert [p.name for p in mixed] == ["image 0", "image 1", "image 2"]
    for prediction in mixed:
        np.testing.assert_allclose(prediction.logits, expected.logits, atol=1e-5)


def test_an_unreadable_image_keeps_its_place(run, test_images) -> None:
    images = [test_images[0], "gone.png", test_images[1]]
    results = list(run.predict_each(images))
    assert [type(r).__name__ for r in results] == ["Prediction", "Unreadable", "Prediction"]
    assert (results[1].name, results[1].reason) == ("gone.png", "not a file")
    assert results[2].name == "image 2"
    with pytest.raises(DataError, match=r"gone\.png: not a file"):
        run.predict(images)
    assert run.predict([]) == []


def test_more_images_than_a_batch_come_in_order(run, test_images) -> None:
    twice = np.concatenate([test_images[:100], test_images[:100]])
    logits = np.stack([p.logits for p in run.predict(iter(twice))])
    assert len(logits) > run.predictor.batch_size
    np.testing.assert_allclose(logits[:100], logits[100:], atol=1e-5)
