"""Small pictures inside the page, as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

SIDE = 64
"""Pixels of a picture's longer side, about: small images are enlarged by a whole factor, so that pixels stay square."""

QUALITY = 80
HEAT = np.array([255.0, 96.0, 0.0])
"""Orange-red over the image in grey: seen by readers of every kind of colour vision, on both themes."""

STRONGEST = 0.8


@dataclass(frozen=True)
class Picture:
    """A picture; ``description`` is what a reader who cannot see it is told."""

    uri: str
    width: int
    height: int
    description: str


def image_picture(image: NDArray[np.uint8], description: str) -> Picture:
    """Show a test image ``(H, W, C)``."""
    return _encode(_enlarged(image), description)


def overlay_picture(image: NDArray[np.uint8], class_map: NDArray[np.float32], description: str) -> Picture:
    """Lay a class map over its image: the stronger the colour, the more evidence for the class there.

    Only evidence for the class is drawn, the strongest place in full colour; a map without any leaves the image grey.

    Args:
        image: ``(H, W, C)``. class_map: ``(h, w)``.
    """
    large = _enlarged(image).astype(np.float64)
    grey = np.repeat(large.mean(axis=2, keepdims=True), 3, axis=2)
    strength = STRONGEST * resized(evidence(class_map), large.shape[1], large.shape[0])[:, :, None]
    return _encode((grey * (1 - strength) + HEAT * strength).round().astype(np.uint8), description)


def strip_picture(maps: NDArray[np.float32], marked: int | None, side: int, description: str) -> Picture:
    """Show class maps side by side, dark where there is no evidence; one of them in a frame.

    Args:
        maps: ``(K, h, w)``, on one scale. marked: which to frame; None for none. side: of each, in pixels.
    """
    shown = evidence(maps)
    tiles = []
    for place, values in enumerate(shown):
        level = np.clip(resized(values, side - 4, side - 4), 0, 1)[:, :, None]
        inside = 24 * (1 - level) + np.array([255.0, 214.0, 150.0]) * level
        frame = np.full((side, side, 3), HEAT if place == marked else 255.0 / 2)
        edge = 2 if place == marked else 1
        frame[edge : side - edge, edge : side - edge] = 24
        frame[2 : side - 2, 2 : side - 2] = inside
        tiles.append(frame)
    return _encode(np.concatenate(tiles, axis=1).round().astype(np.uint8), description)


def evidence(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The positive part, by its maximum; zeros where nothing is positive."""
    positive: NDArray[np.float32] = np.maximum(values, np.float32(0))
    highest = float(positive.max(initial=0.0))
    return positive / np.float32(highest) if highest > 0 else positive


def resized(values: NDArray[np.float32], width: int, height: int) -> NDArray[np.float64]:
    """A map ``(h, w)`` at another size, bilinear."""
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64)


def _enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    factor = max(1, round(SIDE / max(image.shape[:2])))
    large = np.repeat(np.repeat(image, factor, axis=0), factor, axis=1)
    return np.repeat(large, 3, axis=2) if large.shape[2] == 1 else large


def _encode(pixels: NDArray[np.uint8], description: str) -> Picture:
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    kind = "webp" if features.check("webp") else "png"
    if kind == "webp":
        image.save(file, "WEBP", quality=QUALITY, method=4)
    else:
        image.save(file, "PNG", optimize=True)
    text = base64.b64encode(file.getvalue()).decode()
    return Picture(f"data:image/{kind};base64,{text}", image.width, image.height, description)
