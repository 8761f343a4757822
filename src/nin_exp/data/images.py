"""Read one image file of any common kind as 8-bit RGB or grey, the way a viewer shows it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from nin_exp.errors import DataError

# Pillow's own bound, above which it warns; decoded as RGB this is 270 MB.
MAX_PIXELS = 89_478_485
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".tif", ".tiff", ".webp"})
# Nothing else is tried, whatever a file is called: Pillow would hand PostScript to Ghostscript.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_WHITE = (255, 255, 255, 255)


class UnreadableImageError(DataError):
    """One file is no image that can be read."""


def read_image(path: Path, *, channels: Literal[1, 3], image_size: int | None) -> npt.NDArray[np.uint8]:
    """Decode a file to uint8 ``(H, W, channels)``.

    The first frame of animations; turned upright by its EXIF orientation; transparency laid on white; 16-bit grey
    levels scaled to 8 bits; palettes, CMYK and black-and-white converted. Not resized with ``image_size`` None, else
    squashed to a square of that side (bilinear, antialiased).

    Raises:
        UnreadableImageError: the file is damaged, no image, of a mode without defined grey levels, or too large.
    """
    if not path.is_file():  # opening a pipe or a device could wait for ever
        raise UnreadableImageError(f"{path}: not a file")
    with warnings.catch_warnings():
        # Damaged metadata and suspicious sizes: the former does no harm, the latter is refused below.
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=FORMATS) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise UnreadableImageError(f"{path}: {opened.width}x{opened.height} pixels, more than {MAX_PIXELS}")
                image = as_shown(opened, "L" if channels == 1 else "RGB")
                if image_size is not None and image.size != (image_size, image_size):
                    image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
                return np.array(image, dtype=np.uint8).reshape(image.height, image.width, channels)
        except UnreadableImageError:
            raise
        except Exception as error:  # decoders of damaged files raise anything from struct.error to KeyError
            raise UnreadableImageError(f"{path}: {_reason(error)}") from error


def as_shown(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """The picture a viewer shows, at its own size: upright, first frame, on white, in 8 bits (see ``read_image``).

    Raises:
        ValueError: its mode has no defined grey levels.
    """
    return _to_mode(_upright(image), mode)


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged metadata: the pixels are still good
        return image


def _to_mode(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    if image.mode.startswith("I"):
        image = _from_16_bit(image)
    elif image.mode == "F":
        raise ValueError("mode F has no defined grey levels; save it with 8 or 16 bits")
    elif image.has_transparency_data:
        # Hidden under full transparency is often black: dropping alpha turns line drawings into black squares.
        canvas = Image.new("RGBA", image.size, _WHITE)
        image = Image.alpha_composite(canvas, image.convert("RGBA"))
    return image.convert(mode)


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Scale 0…65535 to 0…255; Pillow's own conversion would clip at 255."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"mode {image.mode} with levels {values.min()}…{values.max()}, outside 16 bits")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _reason(error: Exception) -> str:
    # Pillow repeats the whole path in this message; the caller names the file.
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
