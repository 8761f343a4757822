"""``nin-exp best``: which run of a study was best, and which configuration over its seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nin_exp.cli.flags import make_parser
from nin_exp.errors import ConfigError
from nin_exp.records.best import Candidate, Scored, rank, scored_runs
from nin_exp.records.index import find_study
from nin_exp.records.objective import direction_of, needs_test

_DESCRIPTION = """Which run was best: on the validation split, for each data set of the study.

With several seeds the configuration with the best mean is named as well: the best single run owes much to chance."""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("best", _DESCRIPTION, "example:\n  nin-exp best grid-1a2b3c --metric val/loss")
    parser.add_argument("study", nargs="?", help="a study's name or path (default: the newest)")
    parser.add_argument("--metric", default="val/acc", metavar="NAME", help="a metric or cost (default: val/acc)")
    parser.add_argument("--select-on-test", action="store_true", help="allow a metric of the test split")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where studies lie")
    args = parser.parse(arguments)
    direction = direction_of(args.metric)
    is_test = needs_test(args.metric)
    if is_test and not args.select_on_test:
        raise ConfigError(
            f"--metric must not be of the test split, got {args.metric}: what is chosen by it is no longer measured by "
            f"it; use val/{args.metric.rpartition('/')[2]}, or say --select-on-test"
        )
    study_dir = find_study(args.study, Path(args.runs_dir).expanduser())
    runs = scored_runs(study_dir, args.metric)
    if not runs:
        raise ConfigError(
            f"no run of {study_dir} is done and has {args.metric}; `nin-exp ls {study_dir.name}` lists them"
        )
    found: dict[str, list[Scored]] = {}
    for run in runs:
        found.setdefault(run.record.dataset, []).append(run)
    ranked = {name: rank(some, args.metric) for name, some in found.items()}
    if args.json:
        best = [_as_json(name, args.metric, candidates) for name, candidates in ranked.items()]
        outline = {"study": str(study_dir), "metric": args.metric, "direction": direction, "selected_on_test": is_test}
        print(json.dumps({**outline, "best": best}, indent=1))
        return 0
    for name, candidates in ranked.items():
        _print(name, args.metric, candidates)
    if is_test:
        print(f"note: selected on the test split: {args.metric} of this run is too good to be reported")
    return 0


def _best_run(candidates: list[Candidate], metric: str) -> Scored:
    choose = max if direction_of(metric) == "maximize" else min
    return choose((candidate.runs[0] for candidate in candidates), key=lambda run: run.value)


def _print(dataset: str, metric: str, candidates: list[Candidate]) -> None:
    run = _best_run(candidates, metric)
    count = sum(len(c.runs) for c in candidates)
    print(f"{dataset}: {metric} {run.value:.6g}, the best of {count} runs")
    print(f"  run            {run.run_dir}")
    print(f"  settings       {_settings(run)}, seed {run.job.seed}")
    if any(len(c.runs) > 1 for c in candidates):
        top = candidates[0]
        spread = "" if top.deviation is None else f" (deviation {top.deviation:.2g} over {len(top.runs)} seeds)"
        print(f"  configuration  {_settings(top.runs[0])}: mean {top.mean:.6g}{spread}, the best of {len(candidates)}")


def _settings(run: Scored) -> str:
    choices = ", ".join(f"{key}={value}" for key, value in run.job.choices.items())
    record = run.record
    return choices or f"backbone={record.backbone}, head={record.head}, optimizer={record.optimizer}"


def _as_json(dataset: str, metric: str, candidates: list[Candidate]) -> dict[str, Any]:
    run, top = _best_run(candidates, metric), candidates[0]
    return {
        "dataset": dataset,
        "job_id": run.job.job_id,
        "path": str(run.run_dir),
        "value": run.value,
        "seed": run.job.seed,
        "choices": run.job.choices,
        "num_runs": sum(len(c.runs) for c in candidates),
        "configuration": {
            "choices": top.runs[0].job.choices,
            "mean": top.mean,
            "deviation": top.deviation,
            "job_ids": [r.job.job_id for r in top.runs],
        },
    }
