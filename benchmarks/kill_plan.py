"""A plan that is killed again and again against one that nobody disturbs: are the results the same, byte for byte?

    python benchmarks/kill_plan.py --data-dir DIR        # 24 jobs on MNIST and Fashion-MNIST, 20 kills
    python benchmarks/kill_plan.py --small               # 6 jobs on the embedded digits, 5 kills

Both plans have the same jobs. One runs through; the other is started again and again, and its whole process group is
killed (SIGKILL) after a random time, until as many kills have hit a running plan; then it may end. Every job must be
done exactly once, and each run's metrics.csv, predictions, class maps, best weights and last state must be equal.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SMALL = [
    "dataset=digits", "backbone=nin_bn", "backbone.width=0.1", "trainer.max_epochs=4", "trainer.batch_size=128",
    "evaluation.panel=20", "head=gap,fc", "seeds=3",
]  # fmt: skip
LARGE = [
    "dataset=mnist,fashion_mnist", "backbone=nin_bn", "backbone.width=0.1", "trainer.max_epochs=2",
    "dataset.train_limit=5000", "evaluation.panel=20", "head=gap,fc,fc_dropout", "seeds=4",
]  # fmt: skip
FILES = ("metrics.csv", "predictions.npz", "class_maps.npz", "checkpoints/best.ckpt")


def command(settings: list[str], runs_dir: Path) -> list[str]:
    """The plan's command line."""
    return [sys.executable, "-m", "nin_exp", "compare", "study=s", f"runs_dir={runs_dir}", *settings]


def start(settings: list[str], runs_dir: Path) -> subprocess.Popen[bytes]:
    """Start the plan in a process group of its own."""
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command(settings, runs_dir), stdout=quiet, stderr=quiet, start_new_session=True)


def workers_of(runs_dir: Path) -> list[Path]:
    """Processes that write into a run directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(fd.readlink()).startswith(str(runs_dir)) for fd in (process / "fd").iterdir()):
                found.append(process)
    return found


def kill_everything(process: subprocess.Popen[bytes], runs_dir: Path) -> None:
    """SIGKILL to the plan, its fork server and its jobs, as a power cut would."""
    for worker in workers_of(runs_dir):  # each leads a group of its own
        with contextlib.suppress(OSError):
            os.killpg(int(worker.name), signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while workers_of(runs_dir):
        time.sleep(0.02)


def run_disturbed(settings: list[str], runs_dir: Path, kills: int, seconds: float, rng: random.Random) -> int:
    """Run the plan with so many kills; returns how often it was started."""
    starts = hits = 0
    while True:
        process = start(settings, runs_dir)
        starts += 1
        if hits >= kills:
            if process.wait() != 0:
                raise SystemExit(f"the plan ended with exit code {process.returncode}")
            return starts
        before = time.monotonic()
        while not workers_of(runs_dir) and process.poll() is None:  # a kill during imports tells little
            time.sleep(0.02)
        time.sleep(rng.uniform(0, seconds))
        if process.poll() is None:
            kill_everything(process, runs_dir)
            hits += 1
            done = len(list(runs_dir.glob("s/*/record.json")))
            print(f"kill {hits} after {time.monotonic() - before:.1f} s, {done} jobs done", flush=True)
        elif process.returncode == 0:
            print(f"the plan was through after {hits} kills", flush=True)
            return starts
        else:
            raise SystemExit(f"the plan ended with exit code {process.returncode}")


def digests(runs_dir: Path) -> dict[str, str]:
    """SHA-256 of what each run left; of the last state without the times that it holds."""
    found = {}
    for record in sorted(runs_dir.glob("s/*/record.json")):
        folder = record.parent
        values = json.loads(record.read_text())
        found[f"{folder.name}/metrics"] = json.dumps([values["status"], values["metrics"], values["steps"]])
        for name in FILES:
            if (folder / name).is_file():
                found[f"{folder.name}/{name}"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        found[f"{folder.name}/last.ckpt"] = _state_digest(folder / "checkpoints" / "last.ckpt")
    return found


def _state_digest(path: Path) -> str:
    import torch

    state = torch.load(path, weights_only=True)
    digest = hashlib.sha256()
    _feed(digest, {key: value for key, value in state.items() if key != "progress"})
    _feed(digest, {key: value for key, value in state["progress"].items() if key != "times"})
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if hasattr(value, "numpy"):
        digest.update(value.contiguous().numpy().tobytes())
    elif isinstance(value, dict):
        for key in value:
            digest.update(str(key).encode())
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            _feed(digest, item)
    else:
        digest.update(repr(value).encode())


def main() -> None:
    """Run both plans and compare them; exit code 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="holds mnist.npz and fashion_mnist.npz")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seconds", type=float, help="the longest time from a first job's start to a kill")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.small and args.data_dir is None:
        parser.error("give --data-dir, or --small")
    settings = SMALL if args.small else [*LARGE, f"data_dir={args.data_dir}"]
    kills = args.kills if args.kills is not None else 5 if args.small else 20
    seconds = args.seconds if args.seconds is not None else 3.0 if args.small else 30.0
    with tempfile.TemporaryDirectory() as folder:
        plain, killed = Path(folder, "plain"), Path(folder, "killed")
        began = time.monotonic()
        subprocess.run(command(settings, plain), check=True, stdout=subprocess.DEVNULL)
        print(f"undisturbed: {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        starts = run_disturbed(settings, killed, kills, seconds, random.Random(args.seed))
        print(f"disturbed: {starts} starts, {time.monotonic() - began:.0f} s", flush=True)
        expected, found = digests(plain), digests(killed)
        planned = len(json.loads((plain / "s" / "study.json").read_text())["jobs"])
    jobs = {name.split("/")[0] for name in found}
    different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    print(f"{len(jobs)} of {planned} jobs done, {len(expected)} files and states compared, {len(different)} differ")
    for name in different:
        print(f"differs: {name}")
    sys.exit(1 if different or len(jobs) != planned else 0)


if __name__ == "__main__":
    main()
