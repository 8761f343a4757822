"""``nin-exp tune``: search a space, each arm with the same budget."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from nin_exp.cli.flags import add_training_flags, command_line, composer_for, is_terminal, make_parser

_DESCRIPTION = """Search a space with Optuna, on validation only: trials do not read the test split.

Intervals and lists in Hydra's sweep syntax are searched: interval(a,b), int(interval(a,b)), tag(log,interval(a,b)),
range(a,b,step), choice(a,b). Lists over the keys in compare.by are arms, each with tune.trials trials."""
_EPILOG = """examples:
  nin-exp tune 'optimizer.lr=tag(log,interval(1e-3,1))' optimizer=sgd,adam tune.trials=30
  nin-exp tune head=gap,fc compare.by=head 'optimizer.lr=tag(log,interval(1e-3,1))' study=lr tune.pruner=median
  nin-exp compare --tuned lr seeds=8
The same command again goes on; more tune.trials go on in the same study."""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("tune", _DESCRIPTION, _EPILOG)
    add_training_flags(parser)
    args = parser.parse(arguments)
    composer = composer_for(args)
    if args.cfg is not None:
        from nin_exp.cli.train import print_config

        return print_config(composer, args, search=True)
    from nin_exp.cli.run_plan import raise_problems, refuse_unready
    from nin_exp.executors.demand import Demand
    from nin_exp.executors.executor import make_executor
    from nin_exp.plan.jobs import Plan
    from nin_exp.tune.plan import plan_search

    plan = plan_search(composer, args.overrides, command_line("tune", arguments))
    probes = Plan(plan.study, plan.study_dir, plan.probes, plan.config)
    refuse_unready(probes, writes=args.dry_run is None)
    demand = Demand.of(plan.probes, plan.trials_per_arm * len(plan.arms))
    executor = make_executor(plan.config.executor, demand)
    if args.dry_run != "plan":
        raise_problems(executor.preflight(list(plan.probes)), probes)
    if args.dry_run is not None:
        _print_plan(plan, executor.num_workers, as_json=args.json)
        return 0
    return _run(plan, executor, executor.num_workers, args)


def _print_plan(plan: Any, workers: int | None, *, as_json: bool) -> None:
    from nin_exp.plan.forecast import forecast_search

    tune = plan.config.tune
    jobs = plan.trials_per_arm * len(plan.arms) * len(plan.seeds)
    outlook = forecast_search(plan.study_dir, jobs, workers)
    if as_json:
        outline = {
            "study": str(plan.study_dir),
            "workers": workers,
            "arms": list(plan.arms),
            "space": list(plan.search.space),
            "trials_per_arm": plan.trials_per_arm,
            "seeds": list(plan.seeds),
            "max_epochs": plan.config.trainer.max_epochs,
            "objectives": tune.objectives,
            "forecast": asdict(outlook),
        }
        print(json.dumps(outline, indent=1))
        return
    print(f"study   {plan.study_dir}")
    print(f"space   {' '.join(plan.search.space)}")
    print(f"arms    {', '.join(plan.arms) if plan.search.by else 'one'}, {plan.trials_per_arm} trials each")
    print(f"seeds   {', '.join(map(str, plan.seeds))} of every trial")
    print(f"search  {tune.sampler} (seed {tune.sampler_seed}), pruner {tune.pruner}, by {', '.join(tune.objectives)}")
    from nin_exp.cli.plan_table import duration
    from nin_exp.cli.progress import concurrency

    ended = ", ".join(f"{number} {status}" for status, number in outlook.counts.items()) or "none has ended"
    print(f"jobs    at most {jobs} ({ended}) of {plan.config.trainer.max_epochs} epochs, {concurrency(workers)}")
    print(f"time    {duration(outlook.seconds)}")


def _run(plan: Any, executor: Any, workers: int | None, args: Any) -> int:
    from nin_exp.cli.progress import TuneProgress
    from nin_exp.cli.run_plan import FAILED, stopping_at
    from nin_exp.errors import EXIT_JOBS_FAILED
    from nin_exp.executors.running import running_plan
    from nin_exp.tune.run import run_search

    trials, seeds = plan.trials_per_arm * len(plan.arms), len(plan.seeds)
    progress = TuneProgress(plan.study_dir, trials, seeds, workers, enabled=is_terminal())
    with running_plan(plan.study_dir), progress as shown:
        on_outcome = stopping_at(shown.on_outcome, 1 if args.fail_fast else args.max_failures)
        results, stopped = run_search(
            plan, executor, most=args.limit, on_start=shown.on_start, on_outcome=on_outcome, on_tick=shown.on_tick
        )
    if stopped is None:
        from nin_exp.report.write import build_report

        report = str(build_report(plan.study_dir).html)
    else:
        report = None
    if args.json:
        arms = [result.as_dict() for result in results]
        print(json.dumps({"study": str(plan.study_dir), "report": report, "arms": arms}, indent=1))
    else:
        _print_results(plan, results, report)
    if stopped is not None:
        print("stopped; the same command goes on", file=sys.stderr)
        return stopped
    for outcome in shown.outcomes:
        if outcome.ending in FAILED:
            print(f"{outcome.ending}: {outcome.job.run_dir}: {outcome.error}", file=sys.stderr)
    # A trial that diverges is an answer; one that was killed, or an arm without any, is not.
    is_whole = all(o.ending != "killed" for o in shown.outcomes) and all(result.best for result in results)
    return 0 if is_whole else EXIT_JOBS_FAILED


def _print_results(plan: Any, results: Any, report: str | None) -> None:
    for result in results:
        for line in result.lines():
            print(line)
    if report is None:
        return
    if plan.search.by and all(result.best for result in results):
        print(f"on fresh seeds: nin-exp compare --tuned {plan.study_dir} seeds=8")
    print(f"report: {report}")
