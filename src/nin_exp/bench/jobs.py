"""What a job costs beside its training: many one-step jobs in a plan, against one Python process for each."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

from nin_exp.bench.command import run_nin_exp
from nin_exp.bench.ratio import Ratio, alternate

_TINY = (
    "dataset=digits", "backbone=nin_bn", "backbone.width=0.1", "head=gap", "trainer=cpu", "trainer.max_steps=1",
    "trainer.max_epochs=1", "evaluation.panel=0", "checkpoint.keep=none",
)  # fmt: skip


def measure_jobs(folder: Path, *, repeats: int, count: int) -> list[Ratio]:
    """Jobs an hour of a warm plan, and of processes started one after another on every core.

    Args:
        count: jobs of the plan; the processes are a few, and an hour of them is calculated.
    """
    studies = iter(range(10**6))

    def ours() -> float:
        study = f"plan-{next(studies)}"
        ended = run_nin_exp(
            "train", "-m", *_TINY, f"seeds={count}", f"runs_dir={folder / 'runs'}", f"study={study}", folder=folder
        )
        return count / ended.seconds * 3600

    def theirs() -> float:
        few = 4
        seconds = 0.0
        for seed in range(few):
            arguments = (f"seed={seed}", f"runs_dir={folder / 'runs'}", f"study=single-{next(studies)}")
            seconds += run_nin_exp("train", *_TINY, *arguments, folder=folder).seconds
        return few / seconds * 3600

    return [
        alternate(
            f"{count} one-step jobs", "jobs/hour", ours, theirs,
            theirs_name="a Python process each", higher_is_better=True, repeats=repeats,
        )
    ]  # fmt: skip


def measure_overhead(folder: Path, *, count: int) -> float:
    """Median seconds of a job on a warm executor, less its training and evaluation steps; one worker."""
    run_nin_exp(
        "train", "-m", *_TINY, f"seeds={count}", "executor.workers=1", f"runs_dir={folder / 'runs'}",
        "study=overhead", folder=folder,
    )  # fmt: skip
    ends, inside = [], []
    for record in (folder / "runs" / "overhead").glob("*/record.json"):
        values = json.loads(record.read_text(encoding="utf-8"))
        ends.append(record.stat().st_mtime)
        with (record.parent / "times.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        inside.append(sum(float(r["train_seconds"]) + float(r["eval_seconds"]) for r in rows))
        assert values["status"] == "done"
    ends.sort()
    between = sorted(b - a for a, b in itertools.pairwise(ends[1:]))  # the first one waits for the fork server
    return between[len(between) // 2] - sorted(inside)[len(inside) // 2]
