"""Fetch files so that a name stands for a whole, checked file, whatever the network or the process does.

What arrives is kept as ``NAME.part`` and continued at the next try; it gets its name only when its checksum agrees.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from filelock import FileLock, Timeout

from nin_exp.errors import DataError, IntegrityError, RefusedError, StorageError

_log = logging.getLogger(__name__)
STALL_SECONDS = 30.0
_ATTEMPTS = 3
_CHUNK = 1 << 20
_MAX_BYTES = 4 << 30


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web.

    Args:
        name: its file name here.
        urls: mirrors, tried in order.
        digest: hexadecimal, as its publisher or torchvision states it.
    """

    name: str
    urls: tuple[str, ...]
    digest: str
    algorithm: Literal["md5", "sha256"] = "md5"


def lock_path(folder: Path, name: str) -> Path:
    """The file whose lock ``only_one`` holds."""
    return folder / f".{name}.lock"


@contextmanager
def only_one(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock under which ``name`` is fetched into ``folder``; others wait.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_path(folder, name))
        lock.acquire()
    except (OSError, Timeout) as error:
        raise StorageError(f"{folder} cannot be written: {error}; give data_dir=PATH") from error
    try:
        yield
    finally:
        lock.release()


def fetch(remote: RemoteFile, folder: Path) -> Path:
    """Return the file in ``folder``, fetching what is missing of it. Call inside ``only_one``.

    Raises:
        DataError: no mirror gave the whole file, or what it gave has another checksum.
        StorageError: the folder cannot be written.
    """
    target = folder / remote.name
    if target.is_file():
        return target
    part = folder / f"{remote.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch_part(remote, part)
        part.replace(target)
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}; free space or give data_dir=PATH"
        ) from error
    return target


def _fetch_part(remote: RemoteFile, part: Path) -> None:
    reasons: dict[str, None] = {}
    for url in remote.urls:
        for _ in range(_ATTEMPTS):
            was_begun = part.exists()
            try:
                _continue_part(url, part)
            except _BrokeOffError as error:
                reasons[f"{url}: {error}"] = None
                continue
            except _RefusedByServerError as error:
                reasons[f"{url}: {error}"] = None
                break
            if _digest(part, remote.algorithm) == remote.digest:
                return
            part.unlink()  # continuing a wrong file can only give a wrong file
            reasons[f"{url}: wrong {remote.algorithm}"] = None
            if not was_begun:
                break
    raise DataError(f"{remote.name} could not be fetched ({'; '.join(reasons)})")


class _BrokeOffError(Exception):
    """The transfer stopped; what came is kept and the rest can be asked for."""


class _RefusedByServerError(Exception):
    """The server does not give the file; asking it again is useless."""


def _continue_part(url: str, part: Path) -> None:
    """Ask for what is missing and append it, until the server says that this is all."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "nin-exp"} | ({"Range": f"bytes={start}-"} if start else {})
    _log.info("fetching %s", url)
    try:
        reply = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=STALL_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # nothing is missing after what we have; the checksum decides
            return
        raise _RefusedByServerError(f"HTTP {error.code}") from error
    except urllib.error.URLError as error:
        raise _RefusedByServerError(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokeOffError(str(error) or type(error).__name__) from error
    with reply:
        resumed = reply.status == 206 and str(reply.headers.get("Content-Range", "")).startswith(f"bytes {start}-")
        with part.open("ab" if resumed else "wb") as file:
            received = _copy(reply, file, start if resumed else 0)
        length = reply.headers.get("Content-Length")
    if length is not None and received != int(length):
        raise _BrokeOffError(f"broke off after {received} of {length} bytes")


def _copy(source: IO[bytes], file: IO[bytes], start: int) -> int:
    received = 0
    while chunk := _read(source):
        received += len(chunk)
        if start + received > _MAX_BYTES:
            raise RefusedError(f"{file.name} must be smaller than {_MAX_BYTES} bytes, but its server sends without end")
        file.write(chunk)
    return received


def _read(source: IO[bytes]) -> bytes:
    """Errors of the network, apart from those of the disk."""
    try:
        return source.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokeOffError(f"broke off: {error or type(error).__name__}") from error


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def extract(archive: Path, folder: str, target: Path, max_bytes: int) -> None:
    """Take ``folder`` out of a tar archive and give it the name ``target`` in one step. Call inside ``only_one``.

    Raises:
        RefusedError: a member is a link or device, leaves the folder, or the content exceeds ``max_bytes``.
        IntegrityError: the archive is damaged.
        StorageError: the folder cannot be written.
    """
    temporary = target.parent / f".{target.name}.extracting"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        _extract_members(archive, folder, temporary, max_bytes)
        if not target.exists():
            temporary.replace(target)
        for path in [p for p in temporary.rglob("*") if p.is_file()]:  # into a folder that misses files
            destination = target / path.relative_to(temporary)
            destination.parent.mkdir(parents=True, exist_ok=True)
            path.replace(destination)
    except (tarfile.TarError, EOFError) as error:
        raise IntegrityError(f"{archive} is damaged: {error}; delete it, and it is fetched again") from error
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}; free space or give data_dir=PATH"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _extract_members(archive: Path, folder: str, temporary: Path, max_bytes: int) -> None:
    left = max_bytes
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
                raise RefusedError(
                    f"{archive} must hold plain files only, got '{member.name}'; fetch it from its source"
                )
            if path.parts[:1] != (folder,) or not member.isreg():
                continue
            left -= member.size
            if left < 0:
                raise RefusedError(f"{archive} must unpack to at most {max_bytes} bytes; fetch it from its source")
            destination = temporary.joinpath(*path.parts[1:])
            destination.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None  # a regular file
            with destination.open("xb") as file:
                shutil.copyfileobj(content, file)
