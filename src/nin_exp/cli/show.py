"""``nin-exp show``: one run's record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from nin_exp.cli.flags import make_parser
from nin_exp.errors import ConfigError
from nin_exp.inference.evaluation_log import EvaluationLog
from nin_exp.records.index import find_run
from nin_exp.records.record import Record


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("show", "Show a run's record.", "example:\n  nin-exp show 3f2a")
    parser.add_argument("run", help="a run directory, a job id, or the start of one")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where studies lie")
    args = parser.parse(arguments)
    path = find_run(args.run, Path(args.runs_dir).expanduser())
    try:
        record = Record.read(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{path} has not finished: it has no record yet; run its command again to go on") from error
    if args.json:
        print(json.dumps(asdict(record), indent=1))
        return 0
    print(path)
    print(f"{record.status}  {record.dataset} {record.backbone} {record.head} {record.optimizer}  seed {record.seed}")
    if record.error is not None:
        print(f"error         {record.error}")
    for name, value in record.metrics.items():
        print(f"{name:<13} {value:.6g}")
    if record.params_total is not None and record.params_head is not None:
        share = record.params_head / max(1, record.params_total)
        print(f"parameters    {record.params_total:,} (head {record.params_head:,}, {100 * share:.3g} %)")
    if record.macs is not None:
        print(f"MACs          {record.macs:,}")
    if record.images_per_second is not None:
        print(f"images/s      {record.images_per_second:.1f} on {record.device}")
    print(f"wall          {record.wall_seconds:.1f} s, {record.epochs} epochs, {record.steps} steps")
    print(f"best epoch    {record.best_epoch}")
    if record.flags:
        print(f"flags         {', '.join(record.flags)}")
    for reading in EvaluationLog(path, record).entries():
        again = " again" if reading["again"] else ""
        print(f"test read     {reading['at']} of {reading['dataset']}{again}")
    print(f"command       {record.command}")
    return 0
