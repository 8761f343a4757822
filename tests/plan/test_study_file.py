"""``study.json`` under several processes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from filelock import FileLock

from nin_exp.errors import StorageError
from nin_exp.records import study as study_module
from nin_exp.records.study import PlannedJob, Study, locked_study


def test_who_writes_side_by_side_loses_nothing(tmp_path: Path) -> None:
    def write(writer: int) -> None:
        for number in range(10):
            job = PlannedJob(f"{writer}-{number}", "", "digits", number)
            Study("s", "train", "", "", (job,)).write_merged(tmp_path)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Study.read(tmp_path).jobs) == 80


def test_a_lock_that_is_never_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_module, "_PATIENCE_SECONDS", 0.1)
    held = pytest.raises(StorageError, match="is held by another process; end it")
    with FileLock(tmp_path / ".study.lock"), held, locked_study(tmp_path):
        pass
