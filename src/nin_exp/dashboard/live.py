"""A study as it is now: what a page that watches a plan asks for again and again."""

from __future__ import annotations

import hashlib
import math
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nin_exp.dashboard.activity import ACTIVITIES, Activity, find_activity
from nin_exp.records.record import RECORD_FILE
from nin_exp.records.study import STUDY_FILE, Study
from nin_exp.report.analysis import Analysis, analyse
from nin_exp.report.certainty import how_sure
from nin_exp.report.collect import METRICS_FILE, Curve, Run, StudyResults, load_run
from nin_exp.report.metric import Metric
from nin_exp.report.page import render_page
from nin_exp.report.sections.problems import STATES
from nin_exp.report.sections.verdict import BADGES
from nin_exp.report.sentences import outcome_sentence, question

MOST_POINTS = 120
MOST_RUNNING = 12
"""Learning curves shown of runs that have no record yet."""

Stamp = tuple[int, int]


@dataclass(frozen=True)
class Snapshot:
    """One look at a study; ``token`` changes when a file of it does, or a process ends.

    Args:
        activities: of the runs without a record, by job.
    """

    token: str
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
        self._page: tuple[str, str] | None = None

    def look(self) -> Snapshot:
        """The study as it is now.

        Raises:
            NinExpError: ``study.json`` is missing or damaged.
        """
        with self._lock:
            study = Study.read(self.study_dir)
            stamps = {job.job_id: _stamp(self.study_dir / job.job_id) for job in study.jobs}
            activities = {
                job_id: find_activity(self.study_dir / job_id)
                for job_id, stamp in stamps.items()
                if not stamp[0] and stamp[1]
            }
            text = f"{_mtime(self.study_dir / STUDY_FILE)} {sorted(stamps.items())} {sorted(activities.items())}"
            token = hashlib.sha256(text.encode()).hexdigest()[:16]
            if self._snapshot is None or self._snapshot.token != token:
                runs = []
                for job in study.jobs:
                    known = self._runs.get(job.job_id)
                    if known is None or known[0] != stamps[job.job_id] or known[1].job != job:
                        known = (stamps[job.job_id], load_run(self.study_dir, job))
                        self._runs[job.job_id] = known
                    runs.append(known[1])
                self._snapshot = Snapshot(token, analyse(StudyResults(study, tuple(runs))), activities)
            return self._snapshot

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


def describe(snapshot: Snapshot) -> dict[str, Any]:
    """What the live page shows, as JSON values; all of it is text and numbers."""
    analysis = snapshot.analysis
    comparison = analysis.comparison
    verdicts = []
    if comparison is not None:
        for contrast in analysis.contrasts:
            sentence, label = outcome_sentence(contrast, comparison), contrast.outcome.verdict.label
            remarks = " ".join(sentence.remarks)
            words = {"statement": f"{sentence.statement}.", "evidence": sentence.evidence, "remarks": remarks}
            verdicts.append({"label": label, "badge": BADGES[label], **words})
    under_way = [run for run in analysis.runs if snapshot.state(run)[0] in ("running", "elsewhere")]
    started = [run for run in under_way if run.curve is not None]
    counts = Counter(snapshot.state(run) for run in analysis.runs)
    order = [*STATES, *ACTIVITIES]
    return {
        "token": snapshot.token,
        "name": analysis.study.name,
        "question": analysis.study.name if comparison is None else question(comparison),
        "total": len(analysis.runs),
        "states": [[*state, counts[state]] for state in sorted(counts, key=lambda state: order.index(state[0]))],
        "verdicts": verdicts,
        "how_sure": [] if comparison is None else how_sure(analysis.contrasts, comparison),
        "metric": None if analysis.metric is None else analysis.metric.label,
        "runs": [_run(run, analysis.metric, snapshot.state(run)) for run in analysis.runs],
        "running": [
            {"name": run_name(run), "job_id": run.job.job_id, "series": series(run.curve, ("val/acc",))}
            for run in started[:MOST_RUNNING]
        ],
    }


def _run(run: Run, metric: Metric | None, state: tuple[str, str]) -> dict[str, Any]:
    curve = run.curve if run.state == "unfinished" else None
    epoch = int(curve.epochs[-1]) if curve is not None else None if run.record is None else run.record.epochs
    score = None if metric is None else run.score(metric.key)
    return {
        "job_id": run.job.job_id,
        "arm": run.job.arm,
        "block": run.job.block,
        "seed": run.job.seed,
        "state": state[0],
        "state_name": state[1],
        "epoch": epoch,
        "score": None if metric is None or score is None else f"{metric.score(score)} {metric.unit}".strip(),
    }


def run_name(run: Run) -> str:
    """Arm, block and seed, as far as the run has them."""
    return ", ".join([part for part in (run.job.arm, run.job.block) if part] + [f"seed {run.job.seed}"])


def series(curve: Curve | None, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Metrics over the epochs for a small picture, thinned; accuracies in percent."""
    if curve is None:
        return []
    keep = np.unique(np.linspace(0, curve.epochs.size - 1, min(MOST_POINTS, curve.epochs.size)).round().astype(int))
    found = []
    for name in names:
        if name in curve.values:
            metric = Metric(name)
            values = (curve.values[name][keep] * metric.scale).tolist()
            pairs = zip(curve.epochs[keep].tolist(), values, strict=True)
            points = [[epoch, float(f"{value:.4g}")] for epoch, value in pairs if not math.isnan(value)]
            unit = f", {metric.unit}" if metric.unit else ""
            found.append({"name": f"{metric.label}{unit}", "points": points})
    return found
