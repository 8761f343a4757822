"""Which image files a user means: files, folders with all that is below them, or names on standard input."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from nin_exp.data.images import EXTENSIONS
from nin_exp.errors import ConfigError, DataError

STDIN = "-"


def image_files(names: Sequence[str], stdin: BinaryIO) -> list[Path | Image.Image]:
    """The images of some arguments, folders searched at any depth and sorted; a file is taken whatever its ending.

    Args:
        stdin: read for the argument ``-``: one image, or names of files (one a line, or separated by NUL).

    Raises:
        ConfigError: nothing was named.
        DataError: a folder or standard input holds no image.
    """
    if not names:
        raise ConfigError("images must be files, folders, or - for standard input; got none")
    found: list[Path | Image.Image] = []
    for name in names:
        path = Path(name).expanduser()
        if name == STDIN:
            found += _from_stdin(stdin.read())
        elif path.is_dir():
            found += folder_images(path)
        else:
            found.append(path)  # what is none is named with its reason, and the others go on
    return found


def folder_images(folder: Path) -> list[Path]:
    """The image files below a folder, by their endings, sorted; hidden ones and linked folders are left out.

    Raises:
        DataError: there is none.
    """
    found = []
    for current, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(current, name)
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
        ]
    if not found:
        endings = " ".join(sorted(EXTENSIONS))
        raise DataError(f"{folder} must hold at least one image file, got none; known endings are {endings}")
    return sorted(found)


def _from_stdin(content: bytes) -> list[Path | Image.Image]:
    try:
        return [Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP"))]
    except (UnidentifiedImageError, ValueError, OSError):
        pass  # names, then
    separator = b"\0" if b"\0" in content else b"\n"
    names = [part.rstrip(b"\r") for part in content.split(separator)]
    found: list[Path | Image.Image] = [Path(os.fsdecode(name)) for name in names if name.strip()]
    if not found:
        raise DataError("standard input must hold an image, or names of image files, got nothing")
    return found
