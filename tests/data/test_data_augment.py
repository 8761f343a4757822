from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nin_exp.data.augment import Augment
from nin_exp.errors import ConfigError


def one_by_one(images: np.ndarray, draws: dict[str, np.ndarray], augment: Augment, fill: np.ndarray) -> np.ndarray:
    """The same, an image and a pixel at a time, from the definitions."""
    count, _, height, width = images.shape
    found = np.empty_like(images)
    for b in range(count):
        for y in range(height):
            for x in range(width):
                source_y, source_x = y, width - 1 - x if "mirrored" in draws and draws["mirrored"][b] else x
                if "down" in draws:
                    source_y, source_x = source_y + draws["down"][b], source_x + draws["right"][b]
                if augment.pad_mode == "reflect":
                    source_y = abs(source_y) if source_y < height else 2 * (height - 1) - source_y
                    source_x = abs(source_x) if source_x < width else 2 * (width - 1) - source_x
                outside = not (0 <= source_y < height and 0 <= source_x < width)
                found[b, :, y, x] = 0 if outside else images[b, :, source_y, source_x]
                if "cut_row" in draws:
                    dy = y - draws["cut_row"][b] + augment.cutout // 2
                    dx = x - draws["cut_column"][b] + augment.cutout // 2
                    if 0 <= dy < augment.cutout and 0 <= dx < augment.cutout:
                        found[b, :, y, x] = fill
    return found


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_batch_equals_its_images_one_by_one(data):
    height, width, count = data.draw(st.integers(2, 9)), data.draw(st.integers(2, 9)), data.draw(st.integers(1, 6))
    channels = data.draw(st.integers(1, 4))
    limit = st.integers(0, min(height, width) - 1)
    augment = Augment(
        translate=data.draw(limit),
        flip=data.draw(st.booleans()),
        cutout=data.draw(limit),
        pad_mode=data.draw(st.sampled_from(["zeros", "reflect"])),
    )
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**32)))
    dtype = data.draw(st.sampled_from([torch.uint8, torch.float32]))
    memory_format = data.draw(st.sampled_from([torch.contiguous_format, torch.channels_last]))
    images = torch.randint(1, 256, (count, channels, height, width), generator=generator).to(dtype)
    images = images.contiguous(memory_format=memory_format)
    before = images.clone()
    fill = torch.arange(7, 7 + channels).to(dtype)
    draws = augment.draw(generator, count, height, width)
    found = augment.apply(images, draws, fill)
    expected = one_by_one(images.numpy(), {k: v.numpy() for k, v in draws.items()}, augment, fill.numpy())
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=memory_format)
    assert torch.equal(images, before)
    assert np.array_equal(found.numpy(), expected)


@pytest.fixture
def everything():
    return Augment(translate=4, flip=True, cutout=8, pad_mode="zeros")


def test_no_two_images_of_a_batch_share_their_draw_beyond_chance(everything):
    count = 512
    draws = everything.draw(torch.Generator().manual_seed(0), count, 32, 32)
    rows = torch.stack([draws[name].long() for name in sorted(draws)], dim=1)
    possible = 9 * 9 * 2 * 32 * 32
    pairs = count * (count - 1) / 2
    equal_pairs = sum((rows[i + 1 :] == rows[i]).all(dim=1).sum().item() for i in range(count))
    # Poisson with mean 0.79: more than 7 has probability 1e-6.
    assert pairs / possible < 1
    assert equal_pairs <= 7


def test_equal_images_come_out_different(everything):
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    batch = image.expand(64, -1, -1, -1).contiguous()
    found = everything.apply(batch, everything.draw(torch.Generator().manual_seed(2), 64, 32, 32))
    assert len({picture.numpy().tobytes() for picture in found}) == 64


@pytest.mark.parametrize(
    ("name", "low", "high"), [("down", -4, 4), ("right", -4, 4), ("cut_row", 0, 31), ("cut_column", 0, 31)]
)
def test_draws_are_uniform(everything, name, low, high):
    values = everything.draw(torch.Generator().manual_seed(3), 64_000, 32, 32)[name]
    counts = torch.bincount(values - low, minlength=high - low + 1).double()
    expected = 64_000 / (high - low + 1)
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert len(counts) == high - low + 1
    assert chi_squared < 70  # p < 1e-4 with 31 degrees of freedom


def test_half_of_the_images_are_mirrored(everything):
    share = everything.draw(torch.Generator().manual_seed(4), 40_000, 32, 32)["mirrored"].double().mean()
    assert abs(float(share) - 0.5) < 0.0125  # five standard errors


def test_draws_belong_to_their_generator(everything):
    first, again, other = (everything.draw(torch.Generator().manual_seed(seed), 50, 8 + 24, 32) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.slow
def test_shifts_and_flips_equal_torchvisions():
    functional = pytest.importorskip("torchvision.transforms.functional")
    augment = Augment(translate=4, flip=True, cutout=0, pad_mode="zeros")
    images = torch.randint(0, 256, (6, 3, 12, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    draws = augment.draw(torch.Generator().manual_seed(6), 6, 12, 10)
    found = augment.apply(images, draws)
    for i, image in enumerate(images):
        padded = functional.pad(image, [4, 4, 4, 4])
        expected = functional.crop(padded, 4 + int(draws["down"][i]), 4 + int(draws["right"][i]), 12, 10)
        assert torch.equal(found[i], functional.hflip(expected) if draws["mirrored"][i] else expected)


def test_without_augmentation_nothing_is_drawn_and_nothing_changes():
    augment = Augment(translate=0, flip=False, cutout=0, pad_mode="zeros")
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    draws = augment.draw(torch.Generator(), 2, 4, 4)
    assert draws == {}
    assert augment.is_identity
    assert torch.equal(augment.apply(images, draws), images)


def test_moved_in_pixels_are_black_or_mirrored():
    image = torch.arange(1, 6, dtype=torch.uint8).view(1, 1, 1, 5).expand(1, 1, 5, 5).contiguous()
    draws = {"down": torch.tensor([0]), "right": torch.tensor([2])}
    rows = {
        mode: Augment(translate=2, flip=False, cutout=0, pad_mode=mode).apply(image, draws)[0, 0, 0].tolist()
        for mode in ("zeros", "reflect")
    }
    assert rows == {"zeros": [3, 4, 5, 0, 0], "reflect": [3, 4, 5, 4, 3]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"translate": -1}, r"translate must lie in \[0, inf\), got -1"),
        ({"translate": 1.5}, "translate must be an integer, got 1.5"),
        ({"translate": True}, "translate must be an integer, got True"),
        ({"flip": 1}, "flip must be true or false, got 1"),
        ({"cutout": None}, "cutout must be an integer, got null"),
        ({"pad_mode": "edge"}, "pad_mode must be one of zeros, reflect, got 'edge'"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        Augment(**({"translate": 0, "flip": False, "cutout": 0, "pad_mode": "zeros"} | arguments))


@pytest.mark.parametrize("key", ["translate", "cutout"])
def test_settings_larger_than_the_image(key):
    augment = Augment(**({"translate": 0, "flip": False, "cutout": 0, "pad_mode": "zeros"} | {key: 8}))
    with pytest.raises(ConfigError, match=rf"augment\.{key} must be smaller than the 8x9 images, got 8; lower it"):
        augment.draw(torch.Generator(), 3, 8, 9)
