"""Crops and colours of whole batches against torchvision's functions for one image, and their distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nin_exp.contracts.data import ImageArrays
from nin_exp.data.color_jitter import ColorJitter
from nin_exp.data.loader import BatchLoader
from nin_exp.data.photo_augment import PhotoAugment
from nin_exp.data.preprocess.channels import ChannelNormalization
from nin_exp.data.preprocess.gcn import GlobalContrast
from nin_exp.data.resized_crop import ResizedCrop
from nin_exp.errors import ConfigError

IMAGENET = {"scale": [0.08, 1.0], "ratio": [3 / 4, 4 / 3]}
COLORS = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator(seed))


def test_crops_have_the_wanted_areas_and_ratios():
    draws = ResizedCrop(**IMAGENET).draw(generator(0), 20_000, 100, 100)
    tall, wide = draws["tall"].double(), draws["wide"].double()
    assert bool((draws["top"] >= 0).all() and (draws["top"] + draws["tall"] <= 100).all())
    assert bool((draws["left"] >= 0).all() and (draws["left"] + draws["wide"] <= 100).all())
    areas, ratios = tall * wide / 10_000, wide / tall
    assert 0.07 < float(areas.min()) < 0.09
    assert float(areas.max()) <= 1
    assert 0.72 < float(ratios.min()) < 0.77
    assert 1.30 < float(ratios.max()) < 1.38
    # Small areas always fit, so they are drawn evenly; log ratios are symmetric.
    small = areas[areas < 0.5]
    assert abs(float(small.median()) - 0.29) < 0.01
    assert abs(float(ratios.log().mean())) < 0.01


def test_places_of_crops_are_even():
    draws = ResizedCrop(scale=[0.25, 0.25], ratio=[1.0, 1.0]).draw(generator(1), 42_000, 40, 40)
    assert set(draws["tall"].tolist()) == set(draws["wide"].tolist()) == {20}
    for name in ("top", "left"):
        counts = torch.bincount(draws[name], minlength=21).double()
        assert len(counts) == 21
        assert float(((counts - 2000) ** 2 / 2000).sum()) < 58  # p < 1e-5 with 20 degrees of freedom


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    # No crop of the whole area has that ratio: the largest in the middle.
    [(10, 40, (0, 13, 10, 13)), (40, 10, (13, 0, 13, 10))],
)
def test_where_no_draw_fits_the_crop_is_central(height, width, expected):
    draws = ResizedCrop(scale=[1.0, 1.0], ratio=[3 / 4, 4 / 3]).draw(generator(2), 5, height, width)
    found = [tuple(int(draws[name][i]) for name in ("top", "left", "tall", "wide")) for i in range(5)]
    assert found == [expected] * 5


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_crops_equal_torchs_resize_of_each_crop(channels_last, dtype):
    crop = ResizedCrop(**IMAGENET)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    images = pictures(12, 3, 17, 23).to(dtype).contiguous(memory_format=memory_format)
    before = images.clone()
    draws = crop.draw(generator(3), 12, 17, 23)
    found = crop.apply(images, draws)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=memory_format)
    assert torch.equal(images, before)
    for i, image in enumerate(images.float()):
        top, left, tall, wide = (int(draws[name][i]) for name in ("top", "left", "tall", "wide"))
        part = image[None, :, top : top + tall, left : left + wide]
        expected = torch.nn.functional.interpolate(part, (17, 23), mode="bilinear", align_corners=False)[0]
        assert torch.allclose(found[i], expected, atol=2e-3)


def test_a_crop_of_everything_changes_nothing():
    images = pictures(3, 1, 8, 8)
    draws = {"top": [0], "left": [0], "tall": [8], "wide": [8]}
    rows = {name: torch.tensor(values * 3) for name, values in draws.items()}
    assert torch.allclose(ResizedCrop(**IMAGENET).apply(images, rows), images.float(), atol=1e-3)


CHANGES = ("brightness", "contrast", "saturation", "hue")


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_change_equals_torchvisions(name, channels):
    functional = pytest.importorskip("torchvision.transforms.functional")
    jitter = ColorJitter(**(dict.fromkeys(CHANGES, 0.0) | {name: 0.5}))
    images = pictures(8, channels, 6, 5)
    images[0] = 77  # one colour: no hue, no contrast
    images[1, :, 0] = 0
    draws = jitter.draw(generator(4), 8, 6, 5)
    found = jitter.apply(images, draws) / 255
    change = getattr(functional, f"adjust_{name}")
    for i, image in enumerate(images):
        assert torch.allclose(found[i], change(image / 255, float(draws[name][i])), atol=2e-6)


def test_changes_come_in_the_order_drawn_for_each_image():
    functional = pytest.importorskip("torchvision.transforms.functional")
    jitter = ColorJitter(**COLORS)
    images = pictures(40, 3, 4, 5)
    draws = jitter.draw(generator(5), 40, 4, 5)
    assert len({tuple(order.tolist()) for order in draws["order"]}) > 12
    found = jitter.apply(images, draws) / 255
    for i, image in enumerate(images / 255):
        for number in draws["order"][i].tolist():
            name = CHANGES[number]
            image = getattr(functional, f"adjust_{name}")(image, float(draws[name][i]))
        assert torch.allclose(found[i], image, atol=1e-5)


def test_factors_have_their_ranges_and_every_order_is_drawn():
    draws = ColorJitter(brightness=0.4, contrast=2.0, saturation=0.0, hue=0.1).draw(generator(6), 24_000, 4, 4)
    assert set(draws) == {"order", "brightness", "contrast", "hue"}
    for name, low, high in (("brightness", 0.6, 1.4), ("contrast", 0.0, 3.0), ("hue", -0.1, 0.1)):
        values = draws[name]
        assert low <= float(values.min()) < float(values.max()) <= high
        assert abs(float(values.mean()) - (low + high) / 2) < 0.02 * (high - low)
    orders = draws["order"] @ torch.tensor([64, 16, 4, 1])
    counts = torch.unique(orders, return_counts=True)[1].double()
    assert len(counts) == math.factorial(4)
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 62  # p < 2e-5 with 23 degrees of freedom


def loader(augment, images: np.ndarray, preprocessing=None, **changes) -> BatchLoader:
    channels = images.shape[3]
    by_channel = ChannelNormalization("unit", (0.0,) * channels, (1.0,) * channels)
    arguments = {
        "batch_size": 8,
        "shuffle": True,
        "drop_last": False,
        "order_seed": 1,
        "augment_seed": 2,
        "device": "cpu",
        "channels_last": False,
    }
    arrays = ImageArrays(images, np.arange(len(images), dtype=np.int64))
    chosen = by_channel if preprocessing is None else preprocessing
    return BatchLoader(arrays, preprocessing=chosen, augment=augment, **(arguments | changes))


def by_index(batches: BatchLoader) -> torch.Tensor:
    found = {int(i): image for images, _, indices in batches for i, image in zip(indices, images, strict=True)}
    return torch.stack([found[i] for i in range(len(found))])


@pytest.mark.parametrize("channels_last", [False, True])
def test_draws_belong_to_images_and_not_to_batches(images, channels_last):
    augment = PhotoAugment(**IMAGENET, flip=True, **COLORS)
    data = images(21, (9, 9, 3), 0)
    first = by_index(loader(augment, data, channels_last=channels_last))
    other = by_index(loader(augment, data, batch_size=5, order_seed=9))
    assert torch.allclose(first, other, atol=1e-5)
    assert not torch.allclose(first, by_index(loader(augment, data, augment_seed=3)), atol=0.1)
    same = np.repeat(data[:1], 21, axis=0)
    assert len({image.numpy().tobytes() for image in by_index(loader(augment, same))}) == 21
    assert first.min() >= 0
    assert first.max() <= 1 + 1e-6


def test_crops_and_flips_of_prepared_images(images):
    augment = PhotoAugment(**IMAGENET, flip=True, **dict.fromkeys(CHANGES, 0.0))
    prepared = by_index(loader(augment, images(9, (6, 6, 3), 0), GlobalContrast(55.0, 1e-8)))
    assert prepared.dtype == torch.float32
    assert float(prepared.min()) < 0


def test_colours_of_prepared_images_are_refused(images):
    augment = PhotoAugment(**IMAGENET, flip=True, **COLORS)
    with pytest.raises(ConfigError, match=r"augment\.brightness must be 0 with dataset\.preprocess=gcn.*got 0\.4; use"):
        loader(augment, images(9, (6, 6, 3), 0), GlobalContrast(55.0, 1e-8))
    with pytest.raises(ConfigError, match=r"augment\.brightness must be 0 for images of 2 channels"):
        loader(augment, images(9, (6, 6, 2), 0))


def test_nothing_to_do_is_nothing():
    nothing = PhotoAugment(scale=[1.0, 1.0], ratio=[1.0, 1.0], flip=False, **dict.fromkeys(CHANGES, 0.0))
    assert nothing.is_identity
    assert nothing.draw(generator(0), 3, 4, 4) == {}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"scale": [0.5]}, ConfigError, r"augment\.scale must be \[least, greatest\], got \[0\.5\]"),
        ({"scale": [0.9, 0.5]}, ConfigError, r"augment\.scale must be \[least, greatest\], got \[0\.9, 0\.5\]"),
        ({"scale": [0.5, 1.5]}, ConfigError, r"augment\.scale must be at most 1, the whole image, got \[0\.5, 1\.5\]"),
        ({"ratio": [0.0, 1.0]}, ValueError, r"ratio\[0\] must lie in \(0, inf\), got 0"),
        ({"hue": 0.6}, ValueError, r"hue must lie in \[0, 0\.5\], got 0\.6"),
        ({"brightness": -1.0}, ValueError, r"brightness must lie in \[0, inf\), got -1"),
    ],
)
def test_arguments_are_checked(changes, error, message):
    with pytest.raises(error, match=message):
        PhotoAugment(**(IMAGENET | {"flip": True} | COLORS | changes))
