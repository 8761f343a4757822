"""Progress of a run and of a plan: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from nin_exp.cli.flags import is_terminal
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
        self._max_epochs = max_epochs
        if is_terminal():
            from rich.progress import TextColumn

            self._bars = _bars(TextColumn("{task.fields[state]}"))
            self._task = self._bars.add_task("epochs", total=max_epochs, state="")

    def __enter__(self) -> RunProgress:
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


class PlanProgress:
    """Jobs done, running, failed, and the time left."""

    def __init__(
        self, plan: Plan, states: list[JobState], wanted: list[Job], workers: int | None, *, enabled: bool
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._running: dict[str, Job] = {}
        self._total = len(plan.jobs)
        self._before = self._total - len(wanted)
        self._wanted = len(wanted)
        self._epochs = {job.job_id: max(1, job.config["trainer"]["max_epochs"]) for job in plan.jobs}
        self._quiet_since = time.monotonic()
        self._bars: Any = None
        if wanted:
            done = sum(s.state == "done" for s in states)
            now = f"running {len(wanted)}, {concurrency(workers)}"
            self._say(f"{self._total} jobs, {done} done before; {now}: {plan.study_dir}")
        if enabled and wanted:
            from rich.progress import TextColumn

            self._bars = _bars(TextColumn("{task.fields[state]}"))
            self._task = self._bars.add_task("jobs", total=len(wanted), state="")

    def on_growth(self, jobs: Sequence[Job]) -> None:
        """The plan has got more jobs to run."""
        self._total += len(jobs)
        self._wanted += len(jobs)
        self._epochs |= {job.job_id: max(1, job.config["trainer"]["max_epochs"]) for job in jobs}
        if self._bars is not None:
            self._bars.update(self._task, total=self._wanted)

    def say(self, text: str) -> None:
        """Tell a finding, above the bars where they are drawn."""
        if self._bars is None:
            self._say(text)
        else:
            self._bars.console.print(text, markup=False, highlight=False)

    def __enter__(self) -> PlanProgress:
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

    def on_tick(self) -> None:
        """Redraw, or say a line when nothing was said for a minute."""
        if self._bars is not None:
            self._bars.update(self._task, completed=self._completed(), state=self._state())
        elif time.monotonic() - self._quiet_since > _QUIET_INTERVAL:
            self._say(f"{self._before + len(self.outcomes)} of {self._total} jobs ended, {self._state()}")

    def _state(self) -> str:
        failed = sum(o.ending != "done" for o in self.outcomes)
        names = ", ".join(f"{job.arm or job.block} seed {job.seed}" for job in list(self._running.values())[:4])
        return (
            f"{len(self._running)} running"
            + (f", {failed} failed" if failed else "")
            + (f" ({names})" if names else "")
        )

    def _completed(self) -> float:
        """Jobs that have ended, and the share of epochs done of those that run (a row of metrics.csv each)."""
        shares = 0.0
        for job in self._running.values():
            try:
                rows = (job.run_dir / "metrics.csv").read_bytes().count(b"\n") - 1
            except OSError:
                continue
            shares += min(1.0, max(0, rows) / self._epochs[job.job_id])
        return round(len(self.outcomes) + shares, 1)

    def _say(self, text: str) -> None:
        self._quiet_since = time.monotonic()
        print(text, file=sys.stderr, flush=True)


class TuneProgress:
    """Trials of a search: how many have ended, which jobs run."""

    def __init__(self, study_dir: Path, total: int, workers: int | None, *, enabled: bool) -> None:
        self.outcomes: list[Outcome] = []
        self._running: dict[str, Job] = {}
        self._total = total
        self._quiet_since = time.monotonic()
        self._bars: Any = None
        self._say(f"search of at most {total} trials, {concurrency(workers)}: {study_dir}")
        if enabled:
            from rich.progress import TextColumn

            self._bars = _bars(TextColumn("{task.fields[state]}"))
            self._task = self._bars.add_task("jobs", total=total, state="")

    def __enter__(self) -> TuneProgress:
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

    def on_tick(self) -> None:
        """Redraw, or say a line when nothing was said for a minute."""
        counts = Counter(outcome.ending for outcome in self.outcomes)
        state = ", ".join([f"{len(self._running)} running", *(f"{n} {ending}" for ending, n in counts.items())])
        if self._bars is not None:
            self._bars.update(self._task, completed=len(self.outcomes), state=state)
        elif time.monotonic() - self._quiet_since > _QUIET_INTERVAL:
            self._say(state)

    def _say(self, text: str) -> None:
        self._quiet_since = time.monotonic()
        print(text, file=sys.stderr, flush=True)
