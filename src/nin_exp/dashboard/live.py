"""A study as it is now: what a page that watches a plan asks for again and again."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from nin_exp.dashboard.activity import ACTIVITIES, Activity, find_activity
from nin_exp.records.record import RECORD_FILE
from nin_exp.records.study import STUDY_FILE, Study
from nin_exp.report.analysis import Analysis, analyse
from nin_exp.report.collect import METRICS_FILE, Run, StudyResults, load_run
from nin_exp.report.page import render_page
from nin_exp.report.sections.problems import STATES

QUICK_SECONDS = 0.5
"""A study that is analysed faster than this is analysed whenever one of its files has changed."""

REST = 9
"""Of slower ones: so many times the last analysis is waited before the next. Watching leaves the cores to training."""

Stamp = tuple[int, int]


@dataclass(frozen=True)
class Snapshot:
    """One look at a study.

    Args:
        token: changes when a file of it does, or a process ends.
        results_token: changes when a run gets its record.
        activities: of the runs without a record, by job.
    """

    token: str
    results_token: str
    analysis: Analysis
    activities: dict[str, Activity]

    def state(self, run: Run) -> tuple[str, str]:
        """A run's state and its name; of a run without a record, whether it is alive."""
        activity = self.activities.get(run.job.job_id) if run.state == "unfinished" else None
        return (run.state, STATES[run.state]) if activity is None else (activity, ACTIVITIES[activity])


class LiveStudy:
    """Reads a study again where its files have changed; safe to ask from several threads."""

    def __init__(self, study_dir: Path) -> None:
        self.study_dir = study_dir
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[Stamp, Run]] = {}
        self._snapshot: Snapshot | None = None
        self._rests_until = 0.0
        self._page: tuple[str, str] | None = None

    def look(self) -> Snapshot:
        """The study as it is now, or was a moment ago.

        Raises:
            NinExpError: ``study.json`` is missing or damaged.
        """
        with self._lock:
            if self._snapshot is not None and time.monotonic() < self._rests_until:
                return self._snapshot
            began = time.monotonic()
            self._snapshot = self._read(self._snapshot)
            took = time.monotonic() - began
            self._rests_until = 0.0 if took < QUICK_SECONDS else time.monotonic() + REST * took
            return self._snapshot

    def _read(self, last: Snapshot | None) -> Snapshot:
        study = Study.read(self.study_dir)
        stamps = {job.job_id: _stamp(self.study_dir / job.job_id) for job in study.jobs}
        activities = {
            job_id: find_activity(self.study_dir / job_id)
            for job_id, stamp in stamps.items()
            if not stamp[0] and stamp[1]
        }
        plan = _mtime(self.study_dir / STUDY_FILE)
        token = _digest(f"{plan} {sorted(stamps.items())} {sorted(activities.items())}")
        if last is not None and last.token == token:
            return last
        runs = []
        for job in study.jobs:
            known = self._runs.get(job.job_id)
            if known is None or known[0] != stamps[job.job_id] or known[1].job != job:
                known = (stamps[job.job_id], load_run(self.study_dir, job))
                self._runs[job.job_id] = known
            runs.append(known[1])
        results_token = _digest(f"{plan} {sorted((job_id, stamp[0]) for job_id, stamp in stamps.items())}")
        return Snapshot(token, results_token, analyse(StudyResults(study, tuple(runs))), activities)

    def report(self) -> str:
        """The report's page of this moment, rendered once for each state of the files."""
        snapshot = self.look()
        with self._lock:
            if self._page is None or self._page[0] != snapshot.token:
                self._page = (snapshot.token, render_page(snapshot.analysis))
            return self._page[1]


def _stamp(run_dir: Path) -> Stamp:
    return _mtime(run_dir / RECORD_FILE), _mtime(run_dir / METRICS_FILE) or _mtime(run_dir)


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
