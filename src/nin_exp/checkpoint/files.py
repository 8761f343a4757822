"""Checkpoint files: written whole or not at all, verified before they are used, never unpickled freely."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Any, cast

import torch

from nin_exp.errors import IntegrityError
from nin_exp.records.files import atomic_write, write_text

FORMAT_VERSION = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write plain containers and tensors, with the file's SHA-256 beside it.

    While the file changes, the sum's file holds the new sum and those before it: whenever the process dies, also
    several times in a row, the checkpoint that is there is whole and matches one of them.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    sums = _sum_path(path)
    previous = sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []
    with atomic_write(path) as file:
        hashing = _HashingFile(file)
        torch.save({"format": FORMAT_VERSION, **state}, cast(IO[bytes], hashing))
        if hashing.error is not None:
            raise hashing.error
        current = f"{hashing.digest.hexdigest()}  {path.name}"
        write_text(sums, "\n".join([current, *previous]) + "\n")
    write_text(sums, f"{current}\n")


def load_checkpoint(path: Path, map_location: str | torch.device = "cpu") -> dict[str, Any]:
    """Verify and read a checkpoint.

    torch reads weights with flipped bits without a word, so the sum is checked first.

    Raises:
        IntegrityError: the file or its sum is missing, does not match, or is of a newer format.
    """
    expected_path = _sum_path(path)
    if not path.is_file() or not expected_path.is_file():
        raise IntegrityError(f"{path} must exist with its .sha256 beside it; train the run again")
    expected = {line.split()[0] for line in expected_path.read_text(encoding="utf-8").splitlines() if line.strip()}
    if _sha256(path) not in expected:
        raise IntegrityError(
            f"{path} does not match its checksum: it is damaged; delete the run directory and train again"
        )
    try:
        state = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is none
        raise IntegrityError(
            f"{path} must be a checkpoint, but cannot be read: {str(error).splitlines()[0]}"
        ) from error
    if state.get("format", 0) > FORMAT_VERSION:
        raise IntegrityError(f"{path} has format {state['format']}, this nin-exp reads <= {FORMAT_VERSION}; update")
    result: dict[str, Any] = state
    return result


def remove_checkpoint(path: Path) -> None:
    """Delete a checkpoint and its sum, if they are there."""
    path.unlink(missing_ok=True)
    _sum_path(path).unlink(missing_ok=True)


def _sum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _HashingFile:
    """Passes writes on and hashes them; torch.save writes zip archives front to back when it cannot seek.

    Errors of the disk are kept in ``error``: raised here they would pass through torch's C++, whose destructor writes
    once more, and fails once more, which ends the process.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.error is None:
            self.digest.update(data)
            try:
                self._file.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """Left to who has opened the file, and can bear an error."""


__all__ = ["load_checkpoint", "remove_checkpoint", "save_checkpoint"]
