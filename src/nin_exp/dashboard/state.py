"""What the live pages show, as JSON values; all of it is text and numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nin_exp.dashboard.activity import ACTIVITIES
from nin_exp.dashboard.charts import chart, line
from nin_exp.dashboard.live import Snapshot
from nin_exp.report.certainty import how_sure
from nin_exp.report.collect import Run
from nin_exp.report.metric import Metric
from nin_exp.report.sections.problems import STATES
from nin_exp.report.sections.verdict import BADGES
from nin_exp.report.sentences import outcome_sentence, question

MOST_RUNNING = 12
"""Learning curves shown of runs that have no record yet."""

UNDER_WAY = ("running", "elsewhere")


def describe(snapshot: Snapshot) -> dict[str, Any]:
    """The state of a study, run by run."""
    analysis = snapshot.analysis
    comparison = analysis.comparison
    metric = analysis.metric
    started = [run for run in analysis.runs if snapshot.state(run)[0] in UNDER_WAY and run.curve is not None]
    return {
        **outline(snapshot),
        "results_token": snapshot.results_token,
        "how_sure": [] if comparison is None else how_sure(analysis.contrasts, comparison),
        "metric": None if metric is None else f"{metric.label}, {metric.unit}" if metric.unit else metric.label,
        "runs": [_run(run, metric, snapshot.state(run)) for run in analysis.runs],
        "running": [_running(run) for run in started[:MOST_RUNNING]],
        "num_not_drawn": max(0, len(started) - MOST_RUNNING),
    }


def outline(snapshot: Snapshot) -> dict[str, Any]:
    """The state of a study in short, to stand beside others."""
    analysis = snapshot.analysis
    comparison = analysis.comparison
    counts = Counter(snapshot.state(run) for run in analysis.runs)
    order = [*STATES, *ACTIVITIES]
    return {
        "token": snapshot.token,
        "name": analysis.study.name,
        "question": analysis.study.name if comparison is None else question(comparison),
        "total": len(analysis.runs),
        "states": [[*state, counts[state]] for state in sorted(counts, key=lambda state: order.index(state[0]))],
        "verdicts": _verdicts(snapshot),
    }


def _verdicts(snapshot: Snapshot) -> list[dict[str, str]]:
    analysis = snapshot.analysis
    comparison = analysis.comparison
    if comparison is None:
        return []
    found = []
    for contrast in analysis.contrasts:
        sentence, label = outcome_sentence(contrast, comparison), contrast.outcome.verdict.label
        found.append(
            {
                "arm": contrast.arm,
                "block": contrast.block,
                "label": label,
                "badge": BADGES[label],
                "statement": f"{sentence.statement}.",
                "evidence": sentence.evidence,
                "remarks": " ".join(sentence.remarks),
            }
        )
    return found


def _place(run: Run, state: tuple[str, str]) -> dict[str, Any]:
    """What runs are chosen by."""
    return {"arm": run.job.arm, "block": run.job.block, "seed": run.job.seed, "state": state[0]}


def _run(run: Run, metric: Metric | None, state: tuple[str, str]) -> dict[str, Any]:
    curve = run.curve if run.state == "unfinished" else None
    epoch = int(curve.epochs[-1]) if curve is not None else None if run.record is None else run.record.epochs
    score = None if metric is None else run.score(metric.key)
    return {
        "job_id": run.job.job_id,
        **_place(run, state),
        "state_name": state[1],
        "epoch": epoch,
        "score": None if metric is None or score is None else metric.score(score),
    }


def _running(run: Run) -> dict[str, Any]:
    lines = [
        line(run.curve, "val/acc", "validation", "main"),
        line(run.curve, "train/acc", "training", "second"),
    ]
    drawn = chart(f"{run_name(run)}: accuracy, %", "%", lines)
    epochs = run.config.get("trainer.max_epochs", "")
    assert run.curve is not None
    return {
        "job_id": run.job.job_id,
        **_place(run, ("running", "")),
        "epoch": int(run.curve.epochs[-1]),
        "epochs": int(epochs) if epochs.isdecimal() else None,
        "chart": drawn,
    }


def run_name(run: Run) -> str:
    """Arm, block and seed, as far as the run has them."""
    return ", ".join([part for part in (run.job.arm, run.job.block) if part] + [f"seed {run.job.seed}"])
