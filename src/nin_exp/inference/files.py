"""Which image files a user means: files, folders with all that is below them, or names on standard input."""

from __future__ import annotations

import io
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from nin_exp.data.images import EXTENSIONS, FORMATS, MAX_PIXELS
from nin_exp.errors import ConfigError, DataError, StorageError

STDIN = "-"
_LINE_ENDS = b"\t\n\r"


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
        path = at_home(name)
        if name == STDIN:
            found += _from_stdin(stdin.read())
        elif os.path.isdir(path):  # noqa: PTH112  (pathlib raises for names that are too long)
            found += folder_images(path)
        else:
            found.append(path)  # what is none is named with its reason, and the others go on
    return found


def at_home(name: str | os.PathLike[str]) -> Path:
    """A path, with ``~`` at its start as the home folder; a name that merely begins with it stays as it is."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # there is no user of this name
        return Path(name)


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written, before minutes are spent on what would stand in it.

    Raises:
        StorageError: it is a folder, or the nearest folder above it takes no new entry.
    """
    above = next((folder for folder in path.absolute().parents if os.path.lexists(folder)), Path("/"))
    if os.path.isdir(path):  # noqa: PTH112
        raise StorageError(f"{path} cannot be written: it is a folder; name a file")
    if not os.path.isdir(above) or not os.access(above, os.W_OK | os.X_OK):  # noqa: PTH112
        raise StorageError(f"{path} cannot be written: {above} is no folder that takes files; name another place")


def folder_images(folder: Path) -> list[Path]:
    """The image files below a folder, by their endings, sorted; hidden ones and linked folders are left out.

    Raises:
        DataError: there is none.
    """
    found = [path for path in _files_below(folder) if path.suffix.lower() in EXTENSIONS]
    if not found:
        endings = " ".join(sorted(EXTENSIONS))
        raise DataError(f"{folder} must hold at least one image file, got none; known endings are {endings}")
    return sorted(found)


def left_out(names: Sequence[str]) -> str:
    """What ``image_files`` takes for no images in the folders among its arguments, in words; empty without any."""
    folders = [at_home(name) for name in names if name != STDIN]
    endings = Counter(
        path.suffix.lower() or "none"
        for folder in folders
        for path in _files_below(folder)
        if path.suffix.lower() not in EXTENSIONS
    )
    if not endings:
        return ""
    shown = ", ".join(ending for ending, _ in endings.most_common(5))
    return f"{endings.total()} files in folders were left out for their endings ({shown}); name a file to have it read"


def _files_below(folder: Path) -> Iterator[Path]:
    """The files below a folder, but hidden ones and those in linked folders; none where it is no folder."""
    for current, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(current, name) for name in files if not name.startswith("."))


def _from_stdin(content: bytes) -> list[Path | Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are bounded when the image is read
            return [Image.open(io.BytesIO(content), formats=FORMATS)]
    except Image.DecompressionBombError as error:
        raise DataError(f"the image on standard input must have at most {MAX_PIXELS} pixels, has more") from error
    except (UnidentifiedImageError, ValueError, OSError):
        pass  # names, then
    separator = b"\0" if b"\0" in content else b"\n"
    names = [part.rstrip(b"\r") for part in content.split(separator)]
    paths = [Path(os.fsdecode(name)) for name in names if name.strip()]
    if not paths:
        raise DataError("standard input must hold an image, or names of image files, got nothing")
    is_text = not any(byte < 32 and byte not in _LINE_ENDS for byte in content.replace(b"\0", b"\n"))
    if not is_text and not any(os.path.lexists(path) for path in paths):
        raise DataError(f"standard input must hold an image, or names of image files, got {len(content)} other bytes")
    return [*paths]
