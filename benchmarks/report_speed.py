"""How long a report over very many runs takes, and how much memory.

    python benchmarks/report_speed.py --runs 10000            everything: reading, tables, page
    python benchmarks/report_speed.py --runs 100000 --tables  without the page

The runs are invented: records, configurations and learning curves as a training writes them, of 4 arms over blocks and
20 seeds. Times are of the processor, with the files in the page cache; the first reading writes the study's index
(`.index.json`), the second uses it.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from nin_exp.records.best import rank, scored_runs
from nin_exp.records.index import list_runs
from nin_exp.records.study import Comparison, PlannedJob, Study
from nin_exp.report.analysis import analyse
from nin_exp.report.collect import load_study
from nin_exp.report.write import write_report, write_tables

ARMS = ("gap", "fc", "fc_dropout", "gmp_linear")
SEEDS = 20
CONFIG = Path(__file__).with_name("report_speed_config.yaml")


def write_study(study_dir: Path, num_runs: int, epochs: int) -> None:
    """Write a study of about ``num_runs`` runs."""
    rng = np.random.default_rng(0)
    blocks = tuple(f"data{b:03d}" for b in range(max(1, num_runs // (len(ARMS) * SEEDS))))
    jobs = tuple(
        PlannedJob(f"{b:04x}{a:02x}{s:06x}", arm, block, s, {"head": arm, "dataset": block})
        for b, block in enumerate(blocks)
        for s in range(SEEDS)
        for a, arm in enumerate(ARMS)
    )
    comparison = Comparison(("head",), ARMS, blocks, tuple(range(SEEDS)), ARMS[0], "test/acc", 0.002, 0.05)
    study_dir.mkdir(parents=True)
    Study("speed", "compare", "nin-exp compare …", "2026-01-01T00:00:00+00:00", jobs, comparison).write(study_dir)
    for job in jobs:
        _write_run(study_dir / job.job_id, job, epochs, rng)


def _write_run(run_dir: Path, job: PlannedJob, epochs: int, rng: np.random.Generator) -> None:
    run_dir.mkdir()
    score = 0.9 + rng.normal(0, 0.003) - 0.01 * ARMS.index(job.arm)
    record = {
        "job_id": job.job_id, "study": "speed", "status": "done", "exit_code": 0, "config_hash": job.job_id * 5,
        "seed": job.seed, "dataset": job.block, "backbone": "nin", "head": job.arm, "optimizer": "sgd",
        "arm": job.arm, "block": job.block,
        "metrics": {"test/acc": score, "test/loss": 0.3, "test/ece": 0.02, "val/acc": score, "train/loss": 0.1},
        "params_total": 966_986, "params_head": 1_930, "macs": 222_500_000, "images_per_second": 1450.0,
        "wall_seconds": 400.0, "peak_memory_bytes": 1 << 30, "started_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:07:00+00:00", "git": {"commit": "0" * 40, "dirty": False},
        "versions": {"python": "3.11.9", "torch": "2.9.1", "numpy": "2.4.0"}, "command": "nin-exp compare …",
        "seeds": dict.fromkeys(("split", "init", "order", "augment"), job.seed),
        "data": {"fingerprint": job.block, "num_train": 54_000, "num_test": 10_000, "num_classes": 10, "chance": 0.1},
        "group_hash": job.arm, "code_hash": job.arm, "epochs": epochs, "steps": 400 * epochs, "best_epoch": epochs,
        "device": "cpu", "flags": [], "error": None, "schema_version": 1,
    }  # fmt: skip
    (run_dir / "record.json").write_text(json.dumps(record))
    (run_dir / "config.yaml").write_text(CONFIG.read_text() + f"seed: {job.seed}\n")
    rows = [f"{e},{2 / (e + 1):.6f},{score:.6f},{2.1 / (e + 1):.6f},{score:.6f},0.1" for e in range(1, epochs + 1)]
    (run_dir / "metrics.csv").write_text("\n".join(["epoch,train/loss,train/acc,val/loss,val/acc,lr", *rows]) + "\n")


def main() -> None:
    """Write the runs into a temporary folder and time each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--tables", action="store_true", help="tables only, no page")
    parser.add_argument("--keep", type=Path, help="write the runs here, or use those that lie there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs_dir = arguments.keep or Path(folder)
        if not (runs_dir / "speed").is_dir():
            write_study(runs_dir / "speed", arguments.runs, arguments.epochs)
        start = time.process_time()
        found = len(list_runs(runs_dir))
        marks = [("all runs, as ls reads them", time.process_time())]
        rank(scored_runs(runs_dir / "speed", "val/acc"), "val/acc")
        marks.append(("the best of them", time.process_time()))
        results = load_study(runs_dir / "speed")
        marks.append(("read the study", time.process_time()))
        analysis = analyse(results)
        marks.append(("analyse", time.process_time()))
        report_dir = runs_dir / "speed" / "report"
        write_tables(analysis, report_dir)
        marks.append(("tables", time.process_time()))
        if not arguments.tables:
            page = write_report(analysis, report_dir).html
            marks.append(("all files with the page", time.process_time()))
            print(f"page: {page.stat().st_size / 1e6:.1f} MB")
    for name, mark in marks:
        print(f"{name}: {mark - start:.2f} s")
        start = mark
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{found} runs; peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
