"""What logging to Weights & Biases costs a training run whose server is bad: pairs of runs, with and without it.

    python benchmarks/wandb_slowdown.py [--pairs 3] [--epochs 12] [--server offline refuse error hang breaks stalls]

Both runs of a pair are the same but for ``logger=wandb``, and take turns in going first. Compared is the time from the
end of the first epoch to the end of the last: steps, evaluation, checkpoints and what is sent to the mirrors. The
servers are those of tests/train: one that refuses, one that answers 500, one that never answers, and two that take the
run and then answer 500, or no more. ``offline`` has no server at all. metrics.csv must be equal to the byte.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from types import ModuleType

REPO = Path(__file__).resolve().parents[1]
SETTINGS = [
    "dataset=digits", "backbone=nin_bn", "backbone.width=0.25", "head=fc", "trainer=cpu", "evaluation.panel=20",
]  # fmt: skip
"""On all cores: what the mirror's process takes is taken from training."""

EPOCH = re.compile(r"^(\S+ \S+),(\d+) INFO epoch=", re.MULTILINE)


def load_servers() -> ModuleType:
    """The loopback servers of the tests."""
    spec = importlib.util.spec_from_file_location("wandb_servers", REPO / "tests" / "train" / "wandb_servers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(folder: Path, epochs: int, logger: list[str], environment: dict[str, str]) -> tuple[float, bytes]:
    """Train one run; returns the seconds from its first to its last epoch, and its metrics."""
    command = [sys.executable, "-m", "nin_exp", "train", *SETTINGS, f"trainer.max_epochs={epochs}", *logger]
    done = subprocess.run(
        [*command, f"runs_dir={folder}", "study=s"], env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    (run_dir,) = (path.parent for path in folder.glob("s/*/record.json"))
    times = [
        datetime.fromisoformat(f"{day}.{milliseconds}")
        for day, milliseconds in EPOCH.findall((run_dir / "log.txt").read_text())
    ]
    return (times[-1] - times[0]).total_seconds(), (run_dir / "metrics.csv").read_bytes()


def measure(kind: str, pairs: int, epochs: int, servers: ModuleType) -> list[float]:
    """Times with the mirror by times without it."""
    ratios = []
    for number in range(pairs):
        with (
            tempfile.TemporaryDirectory() as folder,
            servers.BadServer("refuse" if kind == "offline" else kind) as server,
        ):
            runs = {"without": ([], {}), "with": (["logger=wandb"], server.environment)}
            order = list(runs) if number % 2 == 0 else list(reversed(runs))
            found = {name: train(Path(folder, name), epochs, *runs[name]) for name in order}
        if found["with"][1] != found["without"][1]:
            raise SystemExit(f"{kind}: metrics.csv differs")
        ratios.append(found["with"][0] / found["without"][0])
        print(f"{kind}: {found['without'][0]:.2f} s without, {found['with'][0]:.2f} s with", flush=True)
    return ratios


def main() -> None:
    """Measure, and print the median and range of each server's ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = ["refuse", "error", "hang", "breaks", "stalls", "offline"]
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--server", nargs="+", choices=kinds, default=kinds)
    args = parser.parse_args()
    servers = load_servers()
    for kind in args.server:
        ratios = measure(kind, args.pairs, args.epochs, servers)
        slower = [100 * (ratio - 1) for ratio in ratios]
        print(
            f"{kind}: training takes {statistics.median(slower):+.1f} % longer with W&B "
            f"({min(slower):+.1f} to {max(slower):+.1f} %, {len(slower)} pairs)",
            flush=True,
        )


if __name__ == "__main__":
    main()
