"""Small runs in this process, stopped or killed at a chosen step."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.plan.expand import plan_single
from nin_exp.records.job import Job
from nin_exp.records.record import Record
from nin_exp.train.books import Books
from nin_exp.train.run import train
from nin_exp.train.signals import Stopped

TINY = [
    "dataset=digits", "dataset.train_limit=150", "backbone=lenet", "dataset.image_size=12", "trainer.batch_size=32",
    "trainer.max_epochs=3", "trainer.threads=1", "trainer.accelerator=cpu", "augment=translate", "evaluation.panel=5",
]  # fmt: skip
"""Five steps an epoch, the last with 22 images."""


class Killed(BaseException):
    """What SIGKILL leaves behind: whatever was saved before."""


@dataclass
class SmallRuns:
    """Trains below a folder."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def job(self, *overrides: str, name: str = "run") -> Job:
        """A tiny job with these settings."""
        plan = plan_single(Composer((shipped_config_dir(),)), [*TINY, *overrides, f"runs_dir={self.folder / name}"], "")
        return plan.jobs[0]

    def train(self, *overrides: str, name: str = "run") -> tuple[Record, Path]:
        """Train without disturbance; returns the record and the run directory."""
        job = self.job(*overrides, name=name)
        return train(job, threads=1), job.run_dir

    def stop(self, step: int, *overrides: str, name: str = "run") -> None:
        """Train, with a SIGTERM that comes during a step."""

        def ask(books: Books) -> None:
            books.stop.signal_number = signal.SIGTERM

        with pytest.raises(Stopped, match="143"):
            self._disturb(step, ask, overrides, name)

    def kill(self, step: int, *overrides: str, name: str = "run") -> None:
        """Train, and vanish during a step."""

        def vanish(books: Books) -> None:
            raise Killed

        with pytest.raises(Killed):
            self._disturb(step, vanish, overrides, name)

    def _disturb(self, step: int, what: Callable[[Books], None], overrides: tuple[str, ...], name: str) -> None:
        undisturbed = Books.end_step

        def end_step(books: Books, num_images: int) -> None:
            if books.progress.step + 1 == step:
                what(books)
            undisturbed(books, num_images)

        with self.monkeypatch.context() as patch:
            patch.setattr(Books, "end_step", end_step)
            train(self.job(*overrides, name=name), threads=1)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallRuns]:
    """Small runs in this process, whose global settings come back."""
    threads = torch.get_num_threads()
    monkeypatch.setenv("NIN_EXP_DATA", str(tmp_path / "data"))
    yield SmallRuns(tmp_path, monkeypatch)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
