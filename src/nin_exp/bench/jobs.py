"""What a job costs beside its training: many one-step jobs in a plan, against one Python process for each."""

from __future__ import annotations

import csv
import itertools
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nin_exp.bench.command import run_nin_exp
from nin_exp.bench.ratio import Ratio, alternate
from nin_exp.cores import available_cores

ONE_STEP = (
    "dataset=digits", "backbone=nin_bn", "backbone.width=0.1", "head=gap", "trainer=cpu", "trainer.max_steps=1",
    "trainer.max_epochs=1", "evaluation.panel=0", "checkpoint.keep=none",
)  # fmt: skip
"""A job of one optimizer step on 1,294 images of 8 x 8; validation, test, predictions and record as any other's."""


def measure_jobs(
    folder: Path, *, repeats: int, count: int, others: dict[str, Callable[[Path, int], float]] | None = None
) -> list[Ratio]:
    """Jobs an hour of a plan, start and report included, against other ways to run as many.

    Args:
        count: jobs of the plan. Python processes are a few, and an hour of them is calculated.
        others: name to what runs so many jobs in a folder and returns the seconds that it took.
    """
    studies = iter(range(10**6))

    def ours() -> float:
        where = (f"runs_dir={folder / 'runs'}", f"study=plan-{next(studies)}")
        return count / run_nin_exp("train", "-m", *ONE_STEP, f"seeds={count}", *where, folder=folder).seconds * 3600

    def processes(at_once: int) -> Callable[[], float]:
        def measure() -> float:
            few = min(count, 2 * at_once + 2)
            return few / _processes(folder, few, at_once, f"single-{next(studies)}") * 3600

        return measure

    def measured(run: Callable[[Path, int], float]) -> Callable[[], float]:
        return lambda: count / run(folder, count) * 3600

    cores = available_cores()
    theirs = {"a Python process each": processes(1)}
    if cores > 1:
        theirs[f"a Python process each, {cores} at a time"] = processes(cores)
    theirs |= {name: measured(run) for name, run in (others or {}).items()}
    return [
        alternate(
            f"{count} one-step jobs", "jobs/hour", ours, measure,
            theirs_name=name, higher_is_better=True, repeats=repeats,
        )
        for name, measure in theirs.items()
    ]  # fmt: skip


def _processes(folder: Path, count: int, at_once: int, study: str) -> float:
    """Seconds of so many ``nin-exp train``, so many at a time: alone with all cores, else with one thread each."""

    def one(seed: int) -> None:
        place = folder / f"{study}-{seed}"
        place.mkdir()
        where = (f"seed={seed}", f"runs_dir={folder / 'runs'}", f"study={study}-{seed}")
        threads = () if at_once == 1 else ("trainer.threads=1",)
        run_nin_exp("train", *ONE_STEP, *where, *threads, folder=place)

    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(count)))
    return time.perf_counter() - started


def measure_overhead(folder: Path, *, count: int) -> float:
    """Median seconds of a job on a warm executor, less its training and validation steps; one worker.

    From one record to the next: the end of a process, the plan's part, the start of the next process and all that
    its job does. The final evaluation counts as overhead.
    """
    where = (f"runs_dir={folder / 'runs'}", "study=overhead")
    run_nin_exp("train", "-m", *ONE_STEP, f"seeds={count}", "executor.workers=1", *where, folder=folder)
    ends, inside = [], []
    for record in (folder / "runs" / "overhead").glob("*/record.json"):
        assert json.loads(record.read_text(encoding="utf-8"))["status"] == "done"
        ends.append(record.stat().st_mtime)
        with (record.parent / "times.csv").open(encoding="utf-8") as file:
            inside.append(sum(float(r["train_seconds"]) + float(r["eval_seconds"]) for r in csv.DictReader(file)))
    ends.sort()
    # The first job waits for the fork server.
    between = [later - earlier for earlier, later in itertools.pairwise(ends[1:])]
    return statistics.median(between) - statistics.median(inside)
