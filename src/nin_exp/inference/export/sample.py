"""Images to compare an exported file with its run on: given ones, the run's own, or made-up ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from nin_exp.build import build_dataset
from nin_exp.contracts.data import ImageSpec
from nin_exp.data.folder import resolve_data_dir
from nin_exp.data.location import Locatable
from nin_exp.data.prepare import prepare
from nin_exp.errors import NinExpError
from nin_exp.inference.files import folder_images
from nin_exp.inference.images import Levels, OneImage, fit, name_of, read_levels

if TYPE_CHECKING:
    from nin_exp.inference.run import TrainedRun

MAX_IMAGES = 100


@dataclass(frozen=True)
class SampleImages:
    """Images of the network's size.

    Args:
        levels: uint8 ``(N, H, W, C)``.
        words: which they are, such as "100 validation images of mnist".
    """

    levels: Levels
    words: str


def sample_images(run: TrainedRun, given: Sequence[OneImage]) -> SampleImages:
    """Given images; else validation images of the run's data where these lie here; else made-up ones.

    Nothing is downloaded.

    Raises:
        DataError: a given image cannot be read.
    """
    spec = run.input_spec.image_spec
    if given:
        images = _spread(given)
        return SampleImages(_read(images, spec), f"{len(images)} given images")
    own = _own_images(run, spec)
    if own is not None:
        return own
    return SampleImages(made_up_images(spec), f"{MAX_IMAGES} made-up images (the data set is not here)")


def _own_images(run: TrainedRun, spec: ImageSpec) -> SampleImages | None:
    name = run.config.choices.get("dataset", "")
    data_dir = resolve_data_dir(run.config.data_dir)
    try:
        source = build_dataset(run.config, run.allowed_packages)
        location = source.locate(data_dir) if isinstance(source, Locatable) else None
        if location is None or not location.is_here:
            return None
        if location.origin == "folders" and location.path is not None:  # decoding all of them could take minutes
            photos = _spread(folder_images(location.path))
            return SampleImages(_read(photos, spec), f"{len(photos)} images of {name}")
        images = prepare(source, data_dir, run.config.split_seed).val.images
    except NinExpError:  # moved or changed since: no reason not to export
        return None
    if images.shape[1:] != (spec.height, spec.width, spec.channels):
        return None
    rows = np.linspace(0, len(images) - 1, min(MAX_IMAGES, len(images))).astype(int)
    return SampleImages(images[rows], f"{len(rows)} validation images of {name}")


def made_up_images(spec: ImageSpec) -> Levels:
    """Smooth random pictures of any contrast and brightness, and noise: uint8 ``(N, H, W, C)``, always the same."""
    rng = np.random.default_rng(0)
    images = np.empty((MAX_IMAGES, spec.height, spec.width, spec.channels), dtype=np.uint8)
    for row in range(MAX_IMAGES):
        side = int(rng.choice([2, 3, 5, 9, max(spec.height, spec.width)]))
        low, high = np.sort(rng.integers(0, 256, 2))
        for channel in range(spec.channels):
            coarse = rng.integers(low, high + 1, (side, side), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((spec.width, spec.height), Image.Resampling.BICUBIC)
            images[row, :, :, channel] = np.asarray(picture)
    return images


def _spread(images: Sequence[OneImage]) -> list[OneImage]:
    rows = np.linspace(0, len(images) - 1, min(MAX_IMAGES, len(images))).astype(int)
    return [images[row] for row in rows]


def _read(images: Sequence[OneImage], spec: ImageSpec) -> Levels:
    named = enumerate(images)
    return np.stack([fit(read_levels(image, spec.channels, name_of(image, i)), spec) for i, image in named])
