"""Resize whole splits to squares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from nin_exp.contracts.data import ImageArrays


def resize_images(images: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Squash images to ``size`` x ``size``: Pillow's bilinear filter, which averages when it makes smaller (antialias).

    Args:
        images: uint8 ``(N, H, W, C)``.

    Returns:
        uint8 ``(N, size, size, C)``; the argument itself when it has that size already.
    """
    count, height, width, channels = images.shape
    if (height, width) == (size, size):
        return images
    resized = np.empty((count, size, size, channels), dtype=np.uint8)
    for row, image in enumerate(images):
        if channels == 3:
            resized[row] = _resized(image, size)
        else:  # one by one: Pillow would take the last of 2 or 4 channels for transparency
            for channel in range(channels):
                resized[row, :, :, channel] = _resized(np.ascontiguousarray(image[:, :, channel]), size)
    return resized


def resize_arrays(arrays: ImageArrays, size: int) -> ImageArrays:
    """Resize a split; boxes are scaled with their images and rounded outwards, so that they still hold the object."""
    images = resize_images(arrays.images, size)
    if arrays.boxes is None:
        return ImageArrays(images, arrays.labels, None)
    height, width = arrays.images.shape[1:3]
    left, top, right, bottom = arrays.boxes.T * size  # integers: no rounding error before the division
    boxes = np.stack([left // width, top // height, -(-right // width), -(-bottom // height)], axis=1)
    return ImageArrays(images, arrays.labels, boxes)


def _resized(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
