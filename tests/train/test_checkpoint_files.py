"""Checkpoint files: whole at every moment, refused when damaged."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from nin_exp.checkpoint.files import load_checkpoint, save_checkpoint
from nin_exp.errors import IntegrityError, StorageError


def state(value: float) -> dict[str, Any]:
    return {"network": {"w": torch.full((64,), value)}, "epoch": int(value)}


class Killed(BaseException):
    """The process dies here: nothing that would follow happens."""


class Calls:
    """Counts what touches the disk, and lets nothing pass from the ``last``-th call on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: int | None) -> None:
        self.names: list[str] = []
        self._last = last
        for owner, name in (
            (os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "chmod"), (tempfile, "mkstemp"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self._watched(name, getattr(owner, name)))

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.names.append(name)
            if self._last is not None and len(self.names) >= self._last:
                raise Killed
            return function(*args, **kwargs)

        return call


def number_of_calls(folder: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        calls = Calls(patch, None)
        save_checkpoint(folder / "count.ckpt", state(1))
    return len(calls.names)


def test_killed_at_any_call_the_old_or_the_new_state_is_there(tmp_path: Path) -> None:
    calls = number_of_calls(tmp_path)
    assert calls > 10
    path = tmp_path / "last.ckpt"
    found = set()
    for last in range(1, calls + 1):
        save_checkpoint(path, state(1))
        for value in (2, 3, 4):  # several times in a row
            with pytest.MonkeyPatch.context() as patch:
                Calls(patch, last)
                with pytest.raises(Killed):
                    save_checkpoint(path, state(value))
            found.add(load_checkpoint(path)["epoch"])
    assert found == {1, 2, 3, 4}


def test_what_takes_a_name_is_on_the_disk_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut: content before name, and the name itself at the end (file, rename, folder)."""
    calls = Calls(monkeypatch, None)
    save_checkpoint(tmp_path / "last.ckpt", state(1))
    order = [name for name in calls.names if name in ("fsync", "replace")]
    assert order == ["fsync", "replace", "fsync"] * 3  # the sum with the old one, the checkpoint, the sum alone
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


class Full:
    """A file on a disk that takes so many more writes."""

    def __init__(self, file: IO[bytes], left: int, number: int) -> None:
        self._file, self._left, self._number = file, left, number
        self.fileno, self.flush = file.fileno, file.flush

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        if self._left == 0:
            raise OSError(self._number, os.strerror(self._number))
        self._left -= 1
        return self._file.write(data)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=["full", "broken", "quota"])
@pytest.mark.parametrize("left", [0, 3])
def test_a_disk_that_does_not_take_it(tmp_path: Path, number: int, left: int) -> None:
    """Exit code 6, the last good one kept, nothing half written left."""
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, state(1))
    fdopen = os.fdopen
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fdopen", lambda descriptor, mode: Full(fdopen(descriptor, mode), left, number))
        with pytest.raises(StorageError, match=rf"last\.ckpt cannot be written: {os.strerror(number)}; free or change"):
            save_checkpoint(path, state(2))
    assert load_checkpoint(path)["epoch"] == 1
    assert not list(tmp_path.glob(".*"))


def test_every_flipped_bit_and_every_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, state(1))
    whole = path.read_bytes()
    for place in range(0, 8 * len(whole), len(whole) * 8 // 200):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match="does not match its checksum: it is damaged"):
            load_checkpoint(path)
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(IntegrityError, match="does not match its checksum: it is damaged"):
            load_checkpoint(path)
    path.write_bytes(whole)
    assert load_checkpoint(path)["epoch"] == 1
