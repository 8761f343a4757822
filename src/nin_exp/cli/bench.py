"""``nin-exp bench``: ratios on this machine, measured side by side."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nin_exp.cli.flags import make_parser

_PARTS = ("step", "jobs", "plan")
_EPILOG = """example:
  nin-exp bench step --repeats 5

what is measured:
  step   images/s of `nin-exp train` against a plain PyTorch loop (NiN, batch 128)
  jobs   one-step jobs an hour in a plan against a Python process each (one at a time, and one a core), and a job's
         overhead: wall time less its training and validation steps
  plan   seconds and memory of a dry run of 10, 100, 1,000 and 10,000 jobs, and of each more job

Close other programs first: what they use is missing from both sides, and not evenly."""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("bench", "Measure nin-exp on this machine, against the plain way of doing it.", _EPILOG)
    parser.add_argument("parts", nargs="*", metavar="|".join(_PARTS), help="what to measure (default: all of them)")
    parser.add_argument("--repeats", type=_positive, default=3, metavar="N", help="pairs of each ratio")
    parser.add_argument("--quick", action="store_true", help="few steps and jobs: does it run, not how fast")
    args = parser.parse(arguments)
    unknown = [part for part in args.parts if part not in _PARTS]
    if unknown:
        from nin_exp.errors import ConfigError, nearest

        raise ConfigError(f"'{unknown[0]}' is not a part of `nin-exp bench`.{nearest(unknown[0], _PARTS)}")
    results: dict[str, Any] = {"machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.platform()}"}
    with tempfile.TemporaryDirectory(prefix="nin-exp-bench-") as folder:
        for part in args.parts or _PARTS:
            results[part] = _measure(part, Path(folder), args)
    if args.json:
        print(json.dumps(results, indent=1))
    return 0


def _measure(part: str, folder: Path, args: Any) -> list[dict[str, Any]]:
    found: list[Any] = []
    if part == "step":
        from nin_exp.bench.step import measure_steps

        found = [*measure_steps(folder, repeats=args.repeats, steps=14 if args.quick else 40)]
    elif part == "jobs":
        from nin_exp.bench.jobs import measure_jobs, measure_overhead

        count = 4 if args.quick else 50
        found = [*measure_jobs(folder, repeats=args.repeats, count=count)]
        found.append({"overhead_seconds": measure_overhead(folder, count=5 if args.quick else 20)})
    else:
        from nin_exp.bench.plan import measure_plans

        found = [*measure_plans(folder, sizes=(10, 100) if args.quick else (10, 100, 1000, 10_000))]
    if not args.json:
        for one in found:
            text = f"overhead of a job: {one['overhead_seconds']:.2f} s" if isinstance(one, dict) else str(one)
            print(text, flush=True)
    return [one if isinstance(one, dict) else one.to_dict() for one in found]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got '{text}'")
    return int(text)
