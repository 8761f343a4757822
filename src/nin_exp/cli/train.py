"""``nin-exp train``: one run here, or with -m a grid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nin_exp.cli.flags import add_plan_flags, command_line, composer_for, make_parser
from nin_exp.errors import ConfigError

if TYPE_CHECKING:
    from nin_exp.plan.expand import Plan

_EPILOG = """examples:
  nin-exp train dataset=mnist head=gap trainer.max_epochs=5
  nin-exp train -m head=gap,fc optimizer.lr=0.01,0.1 seeds=3
  nin-exp train --from 1a2b3c4d5e6f seed=7
  nin-exp train --from 1a2b3c4d5e6f --verify"""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("train", "Train one run, or with -m a grid of runs.", _EPILOG)
    add_plan_flags(parser)
    parser.add_argument("-m", "--multirun", action="store_true", help="train every combination of the listed values")
    parser.add_argument("--from", dest="source", metavar="RUN", help="the configuration of a run, with overrides")
    parser.add_argument("--verify", action="store_true", help="with --from: repeat it, and compare every bit")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="with --from: where studies lie")
    args = parser.parse(arguments)
    if args.verify and args.source is None:
        raise ConfigError("--verify needs the run to repeat; name it with --from RUN")
    composer = composer_for(args)
    from nin_exp.plan.expand import plan_grid, plan_single

    command = command_line("train", arguments)
    if args.cfg is not None:
        return print_config(composer, args)
    if args.source is not None:
        from nin_exp.cli.repeat import plan_from, run_verify

        plan, run_dir = plan_from(composer, args, command)
        if args.verify and args.dry_run is None:
            return run_verify(plan, run_dir, args)
    else:
        plan = (plan_grid if args.multirun else plan_single)(composer, args.overrides, command)
    chose_executor = any(o.startswith(("executor=",)) for o in args.overrides)
    if not args.multirun and not chose_executor and args.dry_run is None:
        return _train_here(plan, args)
    from nin_exp.cli.run_plan import run_plan

    return run_plan(plan, args)


def print_config(composer: Any, args: Any, *, search: bool = False) -> int:
    """Print the composed configuration; with lists, that of the first job."""
    from nin_exp.compose.composer import to_yaml
    from nin_exp.records.redact import redact

    settings = composer.settings(args.overrides, search=search)
    assignments = [(s.key, s.values[0]) for s in settings]
    composer.compose(assignments)  # what is printed is valid
    if args.json:
        print(json.dumps(redact(composer.resolve(assignments)), indent=1))
    elif args.resolve:
        print(to_yaml(redact(composer.resolve(assignments))), end="")
    else:
        print(to_yaml(redact(composer.unresolved_dict(assignments))), end="")
    return 0


def _train_here(plan: Plan, args: Any) -> int:
    from nin_exp.cli.progress import RunProgress
    from nin_exp.cli.run_plan import raise_problems, refuse_unready, take_back, wanted_states
    from nin_exp.plan.states import states_of

    refuse_unready(plan)
    states = states_of(plan.jobs)
    wanted = wanted_states(states, args)
    job = plan.jobs[0]
    if not wanted:
        state = states[0]
        if state.state == "failed":
            print(f"{job.run_dir} failed before ({state.reason}); train it again with --retry-failed")
            return state.record.exit_code if state.record is not None else 1
        return _tell(state.record, job, args, "is done already")
    from nin_exp.executors.inline import preflight_inline, run_inline
    from nin_exp.executors.running import running_plan
    from nin_exp.train.signals import Stopped

    raise_problems(preflight_inline(job), plan)
    plan.study.write_merged(plan.study_dir)
    take_back(wanted)
    with running_plan(plan.study_dir), RunProgress(plan.config.trainer.max_epochs) as progress:
        try:
            record = run_inline(job, progress.on_epoch)
        except Stopped as stopped:
            progress.stop()
            print(f"stopped; the same command goes on from {job.run_dir}")
            return stopped.exit_code
    return _tell(record, job, args, "is done")


def _tell(record: Any, job: Any, args: Any, what: str) -> int:
    if args.json:
        print(json.dumps(asdict(record), indent=1))
        return 0
    shown = ("val/acc", "test/acc", "test/nll", "test/ece")
    numbers = "  ".join(f"{name} {record.metrics[name]:.4f}" for name in shown if name in record.metrics)
    print(f"{job.run_dir} {what}\n{numbers}")
    for flag in record.flags:
        print(f"note: {FLAG_TEXTS.get(flag, flag)}")
    return 0


FLAG_TEXTS = {
    "dead_head": "the head is dead (all class maps zero, loss = ln K); set head.relu=false or lower optimizer.lr",
    "constant_predictor": "the network predicts the same for every test image; lower optimizer.lr or train longer",
    "stopped_early": "stopped early: val/acc had not improved for trainer.patience epochs",
    "stopped_above": "stopped: train/acc and val/acc had passed trainer.stop_above",
    "schedule_finished": "stopped: the schedule had lowered the learning rate for the last time",
    "target_not_reached": "val/acc did not reach evaluation.target_acc",
    "limited": "a few batches only (trainer.limit_batches or overfit_batches): no result, and no verdict uses it",
}
