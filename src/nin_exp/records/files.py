"""Files that are either whole or absent, whatever happens to the process that writes them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nin_exp.errors import StorageError


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path``; on success it is synced and takes the name in one step.

    The temporary file stands in the target's own folder: a rename across file systems is a copy, and a kill
    during a copy leaves half a file under the final name.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}; free or change the output folder") from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes 0600; results are for the group as other files are
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}; free or change the output folder") from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_half_written(folder: Path) -> None:
    """Delete what processes that were killed had begun to write below a folder, into which nobody else writes now."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically. NaN and infinities become null: JSON has no word for them."""
    write_text(path, json.dumps(_finite(value), indent=1, allow_nan=False) + "\n")


def write_large_json(path: Path, value: dict[str, Any]) -> None:
    """``write_json`` for many values: an entry of the mapping, or of a list in it, a line; ten times as fast."""
    parts = []
    for key, entry in value.items():
        text = f"[\n  {(',' + chr(10) + '  ').join(map(_dense, entry))}\n ]" if _is_list(entry) else _dense(entry)
        parts.append(f" {json.dumps(key)}: {text}")
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value)


def _dense(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value
