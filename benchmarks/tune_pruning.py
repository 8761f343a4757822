"""What pruning saves: the same random trials with ASHA and without, epochs spent and best validation accuracy.

    python benchmarks/tune_pruning.py --data-dir DIR     # head x lr x weight decay on Fashion-MNIST, about 10 minutes
    python benchmarks/tune_pruning.py --small            # on the embedded digits: does it run

DIR holds fashion_mnist.npz. Both searches propose the same trials (random, one seed), one at a time; one of them
ends a trial at 1, 3, ... epochs unless it is among the best third so far. Validation decides; the test split is not
read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SPACE = [
    "head=gap,fc", "optimizer.lr=tag(log,interval(1e-3,1))", "optimizer.weight_decay=tag(log,interval(1e-5,1e-2))",
]  # fmt: skip
NETWORK = ["backbone=nin_bn", "backbone.width=0.1", "trainer=cpu", "tune.sampler=random", "executor.workers=1"]
PRUNERS = {"random, no pruning": ["tune.pruner=none"], "random, ASHA": ["tune.pruner=asha", "tune.reduction_factor=3"]}


def search(settings: list[str], study: str, folder: Path) -> dict[str, Any]:
    """Run a search; returns what it spent and found."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "nin_exp", "tune", "--json", *SPACE, *NETWORK, *settings, f"study={study}"],
        cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    (arm,) = json.loads(done.stdout)["arms"]
    records = [json.loads(path.read_text()) for path in folder.glob(f"runs/{study}/*/record.json")]
    best = arm["best"][0]
    return {
        "trials": arm["counts"],
        "epochs": sum(record["epochs"] for record in records),
        "best_val_acc": best["values"][0],
        "best": best["settings"],
        "seconds": round(time.monotonic() - began),
    }


def main() -> None:
    """Run both searches and print what each spent and found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="holds fashion_mnist.npz")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--train-limit", type=int, default=2000, help="training images")
    parser.add_argument("--sampler-seed", type=int, default=0)
    args = parser.parse_args()
    if not args.small and args.data_dir is None:
        parser.error("give --data-dir, or --small")
    trials, epochs = (args.trials or 4, args.epochs or 3) if args.small else (args.trials or 20, args.epochs or 9)
    settings = [f"tune.trials={trials}", f"trainer.max_epochs={epochs}", f"tune.sampler_seed={args.sampler_seed}"]
    if args.small:
        settings.append("dataset=digits")
    else:
        data = [f"data_dir={args.data_dir.resolve()}", f"dataset.train_limit={args.train_limit}"]
        settings += ["dataset=fashion_mnist", *data]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, pruner) in enumerate(PRUNERS.items()):
            one = found[name] = search([*settings, *pruner], f"search-{number}", Path(folder))
            counts = ", ".join(f"{count} {state}" for state, count in one["trials"].items())
            print(
                f"{name}: {one['epochs']} epochs, best val/acc {one['best_val_acc']:.4f} ({counts}), {one['seconds']} s"
            )
            print(f"  {' '.join(f'{key}={value}' for key, value in one['best'].items())}", flush=True)
    plain, asha = found.values()
    share, lost = asha["epochs"] / plain["epochs"], plain["best_val_acc"] - asha["best_val_acc"]
    print(f"ASHA spent {100 * share:.0f} % of the epochs, and its best is {100 * lost:.2f} points below")


if __name__ == "__main__":
    main()
