"""Any image, of any kind, size and mode, to the levels that the training images had."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, Union, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from nin_exp.contracts.data import ImageSpec

# The conversions of the training images: two versions of them would drift apart.
from nin_exp.data.images import MAX_PIXELS, UnreadableImageError, as_shown, read_image
from nin_exp.errors import DataError
from nin_exp.inference.files import at_home, folder_images

if TYPE_CHECKING:
    import torch

Levels = npt.NDArray[np.uint8]
OneImage = Union[str, os.PathLike[str], Image.Image, npt.NDArray[Any], "torch.Tensor"]
ImageInput = OneImage | Iterable[OneImage]
"""A path (a file or a folder), a Pillow image, an array ``(H, W[, C])``, a tensor ``(C, H, W)``; a batch; or many."""

_CHANNELS_LAST = (1, 2, 3, 4)


def _is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    """Whether it is a tensor; without torch loaded nothing is, and exported models are used without it."""
    torch_module = sys.modules.get("torch")
    return torch_module is not None and isinstance(value, torch_module.Tensor)


def each_image(images: ImageInput, channels: int) -> Iterator[OneImage]:
    """The single images of what a user gave; batches and folders are taken apart, generators read as they are needed.

    Args:
        channels: of the network, to tell ``(H, W, C)`` from ``(N, H, W)``.
    """
    if isinstance(images, np.ndarray):
        is_batch = images.ndim == 4 or (images.ndim == 3 and images.shape[2] not in (*_CHANNELS_LAST, channels))
        yield from images if is_batch else [images]
    elif _is_tensor(images):
        yield from images if images.ndim == 4 else [images]
    elif isinstance(images, str | os.PathLike):
        path = at_home(images)
        yield from folder_images(path) if os.path.isdir(path) else [images]  # noqa: PTH112  (as in files.py)
    elif isinstance(images, Image.Image):
        yield images
    elif isinstance(images, Iterable):
        yield from images
    else:
        raise DataError(f"images must be paths, Pillow images, arrays or tensors, got {type(images).__name__}")


def name_of(image: OneImage, position: int) -> str:
    """What to call an image in messages and tables; ``position`` counts from 0."""
    return os.fspath(image) if isinstance(image, str | os.PathLike) else f"image {position}"


def read_levels(image: OneImage, channels: int, name: str) -> Levels:
    """uint8 ``(H, W, channels)`` at the image's own size.

    Colours, transparency, 16 bits and orientation as ``data.images.read_image`` does it. Arrays hold levels 0 … 255
    as integers (0 … 65535 as uint16), or 0 … 1 as floats.

    Raises:
        UnreadableImageError: it is no image, or its channels cannot be made those of the network.
    """
    try:
        if isinstance(image, str | os.PathLike):
            return read_image(at_home(image), channels=_convertible(channels, name), image_size=None)
        if _is_tensor(image):
            image = _from_tensor(image)
        if isinstance(image, np.ndarray):
            levels = _array_levels(image)
            if levels.shape[2] == channels:
                return levels
            image = _to_pillow(levels)
        if not isinstance(image, Image.Image):
            raise ValueError(f"must be a path, a Pillow image, an array or a tensor, got {type(image).__name__}")
        if image.width * image.height > MAX_PIXELS:  # of a Pillow image that is not decoded yet
            raise ValueError(f"{image.width}x{image.height} pixels, more than {MAX_PIXELS}")
        mode: Literal["L", "RGB"] = "L" if _convertible(channels, name) == 1 else "RGB"
        converted = as_shown(image, mode)
        return np.array(converted, dtype=np.uint8).reshape(converted.height, converted.width, channels)
    except UnreadableImageError:
        raise
    except Exception as error:  # Pillow decodes late: damaged data show here, as any kind of error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadableImageError(f"{name}: {reason}") from error


def fit(levels: Levels, spec: ImageSpec) -> Levels:
    """Squash to the network's size, with the filter that training used (bilinear, antialiased).

    Args:
        levels: uint8 ``(H, W, C)``.
    """
    height, width, channels = levels.shape
    if (height, width) == (spec.height, spec.width):
        return levels
    planes = [levels] if channels == 3 else [levels[:, :, channel] for channel in range(channels)]
    size = (spec.width, spec.height)
    resized = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.BILINEAR))
        for plane in planes
    ]
    return resized[0] if channels == 3 else np.stack(resized, axis=2)


def to_rgb(image: OneImage, name: str) -> Levels:
    """uint8 ``(H, W, 3)`` to look at; of images with other numbers of channels the first three, or the first."""
    if _is_tensor(image):
        image = _from_tensor(image)
    if isinstance(image, np.ndarray):
        levels = _array_levels(image)
        if levels.shape[2] not in _CHANNELS_LAST:
            return levels[:, :, :3]
    return read_levels(image, 3, name)


def _convertible(channels: int, name: str) -> Literal[1, 3]:
    if channels not in (1, 3):
        raise UnreadableImageError(
            f"{name}: the network takes {channels} channels, which image files do not have; give arrays (H, W, C)"
        )
    return cast(Literal[1, 3], channels)


def _from_tensor(tensor: torch.Tensor) -> npt.NDArray[Any]:
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) in ("torch.bfloat16", "torch.float16"):
        tensor = tensor.float()
    if tensor.ndim not in (2, 3):
        raise UnreadableImageError(f"a tensor must be (C, H, W), (H, W) or (N, C, H, W), got {tuple(tensor.shape)}")
    return (tensor if tensor.ndim == 2 else tensor.permute(1, 2, 0)).numpy()


def _array_levels(array: npt.NDArray[Any]) -> Levels:
    """uint8 ``(H, W, C)`` from any dtype with a defined scale."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"an array must be (H, W), (H, W, C) or (N, H, W, C), got {array.shape}")
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:  # as 16-bit files: the whole range
        return ((array.astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8)
    is_float = np.issubdtype(array.dtype, np.floating)
    if not is_float and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"an array must hold numbers, got {array.dtype}")
    highest = 1 if is_float else 255
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > highest:
        raise ValueError(
            f"levels must lie in 0 … {highest} ({array.dtype}), got {array.min():g} … {array.max():g}; "
            "give images that are not normalised, the run does it"
        )
    return np.rint(array * 255).astype(np.uint8) if is_float else array.astype(np.uint8)


def _to_pillow(levels: Levels) -> Image.Image:
    channels = levels.shape[2]
    if channels not in _CHANNELS_LAST:
        raise ValueError(f"an array must have 1 to 4 channels, last, got {levels.shape}")
    return Image.fromarray(np.ascontiguousarray(levels[:, :, 0] if channels == 1 else levels))
