"""Progress of a run and of a plan: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nin_exp.cli.flags import is_terminal
from nin_exp.executors.judging import METRICS_FILE
from nin_exp.executors.outcome import Outcome
from nin_exp.plan.expand import Plan
from nin_exp.plan.states import JobState
from nin_exp.records.job import Job

_QUIET_INTERVAL = 60.0


def concurrency(workers: int | None) -> str:
    """How many jobs run at once, in words."""
    return "as many at a time as the cluster runs" if workers is None else f"{workers} at a time"


def _bars(*columns: Any) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:g}/{task.total:g}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        *columns,
        console=Console(stderr=True),
    )


class RunProgress:
    """Epochs, validation accuracy and images per second of one run."""

    def __init__(self, max_epochs: int) -> None:
        self._bars: Any = None
        if is_terminal():
            from rich.progress import TextColumn

            self._bars = _bars(TextColumn("{task.fields[state]}"))
            self._task = self._bars.add_task("epochs", total=max_epochs, state="")

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def on_epoch(self, progress: Any, images_per_second: float | None) -> None:
        """Show an epoch that has ended."""
        if self._bars is None:
            return
        rate = "" if images_per_second is None else f"  {images_per_second:.0f} images/s"
        state = f"val/acc {progress.rows[-1]['val/acc']:.4f}{rate}"
        self._bars.update(self._task, completed=progress.epoch, state=state)

    def stop(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()


class _JobsProgress(ABC):
    """Jobs that start and end: what runs, how many have ended how, and a bar on a terminal.

    Args:
        total: length of the bar, in jobs; no bar when it is 0 or not ``enabled``.
    """

    def __init__(self, total: int, *, enabled: bool) -> None:
        self.outcomes: list[Outcome] = []
        self._running: dict[str, Job] = {}
        self._endings: Counter[str] = Counter()
        self._quiet_since = time.monotonic()
        self._bars: Any = None
        if enabled and total:
            from rich.progress import TextColumn

            self._bars = _bars(TextColumn("{task.fields[state]}"))
            self._task = self._bars.add_task("jobs", total=total, state="")

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def on_start(self, job: Job) -> None:
        """A job's process has started."""
        self._running[job.job_id] = job

    def on_outcome(self, outcome: Outcome) -> None:
        """A job's process has ended."""
        self._running.pop(outcome.job.job_id, None)
        self.outcomes.append(outcome)
        self._endings[outcome.ending] += 1

    def on_tick(self) -> None:
        """Redraw, or say a line when nothing was said for a minute."""
        if self._bars is not None:
            self._bars.update(self._task, completed=self._completed(), state=self._state())
        elif time.monotonic() - self._quiet_since > _QUIET_INTERVAL:
            self.say(self._line())

    def say(self, text: str) -> None:
        """Tell a finding, above the bars where they are drawn."""
        self._quiet_since = time.monotonic()
        if self._bars is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._bars.console.print(text, markup=False, highlight=False)

    def _state(self) -> str:
        """What runs, and how those that are not done have ended."""
        endings = [f"{number} {ending}" for ending, number in self._endings.items() if ending != "done"]
        return ", ".join([f"{len(self._running)} running", *endings])

    @abstractmethod
    def _completed(self) -> float:
        """How far the bar is."""

    @abstractmethod
    def _line(self) -> str:
        """What is said now and then where there is no bar."""


class PlanProgress(_JobsProgress):
    """Jobs of a plan, epochs of those that run, and the time left."""

    def __init__(
        self, plan: Plan, states: list[JobState], wanted: list[Job], workers: int | None, *, enabled: bool
    ) -> None:
        self._total, self._wanted = len(plan.jobs), len(wanted)
        self._before = self._total - self._wanted
        if wanted:
            done = sum(s.state == "done" for s in states)
            now = f"running {len(wanted)}, {concurrency(workers)}"
            print(f"{self._total} jobs, {done} done before; {now}: {plan.study_dir}", file=sys.stderr, flush=True)
        super().__init__(self._wanted, enabled=enabled)

    def on_growth(self, jobs: Sequence[Job]) -> None:
        """The plan has got more jobs to run."""
        self._total += len(jobs)
        self._wanted += len(jobs)
        if self._bars is not None:
            self._bars.update(self._task, total=self._wanted)

    def _state(self) -> str:
        names = ", ".join(f"{job.arm or job.block} seed {job.seed}" for job in list(self._running.values())[:4])
        return super()._state() + (f" ({names})" if names else "")

    def _line(self) -> str:
        return f"{self._before + len(self.outcomes)} of {self._total} jobs ended, {self._state()}"

    def _completed(self) -> float:
        """Jobs that have ended, and the share of epochs done of those that run (a row of metrics.csv each)."""
        shares = 0.0
        for job in self._running.values():
            try:
                rows = (job.run_dir / METRICS_FILE).read_bytes().count(b"\n") - 1
            except OSError:
                continue
            shares += min(1.0, max(0, rows) / max(1, job.config["trainer"]["max_epochs"]))
        return round(len(self.outcomes) + shares, 1)


class TuneProgress(_JobsProgress):
    """Jobs of a search."""

    def __init__(self, study_dir: Path, trials: int, seeds: int, workers: int | None, *, enabled: bool) -> None:
        print(f"search of at most {trials} trials, {concurrency(workers)}: {study_dir}", file=sys.stderr, flush=True)
        super().__init__(trials * seeds, enabled=enabled)

    def _line(self) -> str:
        return f"{self._endings['done']} jobs done, {self._state()}"

    def _completed(self) -> float:
        return len(self.outcomes)
