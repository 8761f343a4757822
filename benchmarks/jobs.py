"""Fifty one-step jobs: a plan of nin-exp, a Python process each, and ``hydra -m`` with the joblib launcher.

    python benchmarks/jobs.py [--repeats 3] [--count 50] [--hydra-python PYTHON]

``nin-exp bench jobs``, with one more way to run as many: PYTHON is the Python of an environment with
hydra-joblib-launcher, pytorch-lightning and scikit-learn, with which benchmarks/hydra_app.py is swept over. Its workers
are as many as cores, import once, and run job after job in one process; a job of nin-exp has a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from nin_exp.bench.jobs import measure_jobs, measure_overhead
from nin_exp.cores import available_cores

APP = Path(__file__).resolve().with_name("hydra_app.py")


def hydra_joblib(python: str, folder: Path, count: int) -> float:
    """Seconds of a Hydra multirun over so many seeds, with a worker a core."""
    command = [
        python, str(APP), "-m", f"+seed=range(0,{count})", "hydra/launcher=joblib",
        f"hydra.launcher.n_jobs={available_cores()}",
        f"hydra.sweep.dir={tempfile.mkdtemp(dir=folder)}", "hydra.job.chdir=true",
    ]  # fmt: skip
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"hydra -m failed: {done.stderr.strip().splitlines()[-1:]}")
    return time.perf_counter() - started


def main() -> None:
    """Measure, and print each ratio and a job's overhead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--hydra-python", help="the Python of an environment with hydra-joblib-launcher")
    args = parser.parse_args()
    others = {}
    if args.hydra_python is not None:
        others["hydra -m with joblib"] = lambda folder, count: hydra_joblib(args.hydra_python, folder, count)
    with tempfile.TemporaryDirectory() as folder:
        for ratio in measure_jobs(Path(folder), repeats=args.repeats, count=args.count, others=others):
            print(ratio, flush=True)
        print(f"overhead of a job: {measure_overhead(Path(folder), count=min(args.count, 20)):.2f} s")


if __name__ == "__main__":
    main()
