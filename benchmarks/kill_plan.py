"""A plan that is killed again and again against one that nobody disturbs: are the results the same, byte for byte?

    python benchmarks/kill_plan.py --data-dir DIR        # 24 jobs on MNIST and Fashion-MNIST, 20 kills
    python benchmarks/kill_plan.py --small               # 6 jobs on the embedded digits, 5 kills

Both plans have the same jobs. One runs through. The other is hit at random moments: SIGKILL to everything (a power
cut), to the plan alone or to one of its jobs, Ctrl-C, SIGTERM; after each hit that ends it the same command is started
again, at once. When it has been hit often enough it may end. Then every job must be done, none of them twice, and each
run's metrics.csv, predictions, class maps, best weights and last state must be equal.
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
    "dataset=mnist,fashion_mnist", "backbone=nin_bn", "backbone.width=0.1", "trainer.max_epochs=3",
    "dataset.train_limit=3000", "evaluation.panel=20", "head=gap,fc,fc_dropout", "seeds=4",
]  # fmt: skip
FILES = ("metrics.csv", "predictions.npz", "class_maps.npz", "checkpoints/best.ckpt")
HITS = ("everything", "plan", "job", "Ctrl-C", "SIGTERM")
EXIT_CODES = {"plan": -signal.SIGKILL, "everything": -signal.SIGKILL, "Ctrl-C": 130, "SIGTERM": 143}


def command(settings: list[str], runs_dir: Path) -> list[str]:
    """The plan's command line."""
    return [sys.executable, "-m", "nin_exp", "compare", "study=s", f"runs_dir={runs_dir}", *settings]


def workers_of(runs_dir: Path) -> list[int]:
    """Process ids of jobs: they hold files of their run directories open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(fd.readlink()).startswith(str(runs_dir)) for fd in (process / "fd").iterdir()):
                found.append(int(process.name))
    return found


class Disturbed:
    """The plan that is hit; remembers every record as it was first seen.

    Args:
        seconds: the longest time from a first job's start to a hit.
    """

    def __init__(self, settings: list[str], runs_dir: Path, kills: int, seconds: float, rng: random.Random) -> None:
        self._settings, self._runs_dir = settings, runs_dir
        self._kills, self._seconds, self._rng = kills, seconds, rng
        self.starts = self.hits = 0
        self._records: dict[Path, bytes] = {}

    def run(self) -> None:
        """Start the plan until it has ended by itself."""
        while True:
            with tempfile.TemporaryFile("w+") as error:
                process = subprocess.Popen(
                    command(self._settings, self._runs_dir),
                    stdout=subprocess.DEVNULL, stderr=error, start_new_session=True,
                )  # fmt: skip
                self.starts += 1
                self._disturb(process)
                process.wait()
                self._look_at_records()
                if process.returncode == 0:
                    return
                if process.returncode not in (9, *EXIT_CODES.values()):  # 9: a job was killed
                    error.seek(0)
                    raise SystemExit(f"the plan ended with exit code {process.returncode}: {error.read()[-2000:]}")

    def _disturb(self, process: subprocess.Popen[bytes]) -> None:
        """Hit the plan until it ends, or has been hit often enough."""
        while self.hits < self._kills:
            while not workers_of(self._runs_dir) and process.poll() is None:  # a kill during imports tells little
                time.sleep(0.02)
            wait = self._rng.uniform(0, self._seconds)
            time.sleep(wait)
            self._look_at_records()
            what = self._rng.choice(HITS)
            workers = workers_of(self._runs_dir)
            if process.poll() is not None:
                return
            if what == "job" and not workers:
                continue
            self.hits += 1
            print(f"kill {self.hits} after {wait:.1f} s: {what}; {len(self._records)} jobs done", flush=True)
            self._hit(what, process, workers)
            if what != "job":
                self._check_end(what, process)
                return

    def _hit(self, what: str, process: subprocess.Popen[bytes], workers: list[int]) -> None:
        if what == "job":
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._rng.choice(workers), signal.SIGKILL)
        elif what == "plan":
            process.kill()
        elif what == "SIGTERM":
            process.terminate()
        elif what == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)
        else:
            for worker in workers:  # each leads a group of its own
                with contextlib.suppress(OSError):
                    os.killpg(worker, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)

    def _check_end(self, what: str, process: subprocess.Popen[bytes]) -> None:
        """The plan must end as it should, and after a stop that it could hear without a job left behind."""
        code = process.wait(90)
        if code not in (EXIT_CODES[what], 0, 9):  # it may have been through just then
            raise SystemExit(f"after {what} the plan ended with exit code {code}")
        if what in ("Ctrl-C", "SIGTERM") and workers_of(self._runs_dir):
            raise SystemExit(f"after {what} jobs were left behind")

    def _look_at_records(self) -> None:
        for path in self._runs_dir.glob("s/*/record.json"):
            content = path.read_bytes()
            if self._records.setdefault(path, content) != content:
                raise SystemExit(f"{path} was written twice: a job that was done has been trained again")


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
    settings = SMALL if args.small else [*LARGE, f"data_dir={args.data_dir.resolve()}"]
    kills = args.kills if args.kills is not None else 5 if args.small else 20
    seconds = args.seconds if args.seconds is not None else 2.0 if args.small else 8.0
    with tempfile.TemporaryDirectory() as folder:
        plain, killed = Path(folder, "plain"), Path(folder, "killed")
        began = time.monotonic()
        subprocess.run(command(settings, plain), check=True, stdout=subprocess.DEVNULL)
        print(f"undisturbed: {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        disturbed = Disturbed(settings, killed, kills, seconds, random.Random(args.seed))
        disturbed.run()
        took = time.monotonic() - began
        print(f"disturbed: {disturbed.hits} kills, {disturbed.starts} starts, {took:.0f} s", flush=True)
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
