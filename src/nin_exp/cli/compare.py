"""``nin-exp compare``: arms, blocks and paired seeds; then the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_exp.cli.flags import add_plan_flags, command_line, composer_for, make_parser
from nin_exp.errors import ConfigError
from nin_exp.records.index import find_study

if TYPE_CHECKING:
    from nin_exp.compose.composer import Composer

_DESCRIPTION = """Compare arms over blocks and paired seeds, and report the verdict.

Comma lists over the keys in compare.by (default: the only key with a list, else head) are the arms, the other
lists are blocks, seeds are the inner, paired loop: seeds=8 is 0 ... 7."""
_EPILOG = """examples:
  nin-exp compare head=gap,fc dataset=mnist,fashion_mnist seeds=8
  nin-exp compare optimizer=sgd,adam compare.by=[optimizer] head=gap,fc seeds=6
  nin-exp compare --tuned lr seeds=8
  nin-exp compare head=gap,fc dataset=mnist --until-decided compare.max_seeds=30
The same command again runs only what is missing; more seeds go on in the same study."""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("compare", _DESCRIPTION, _EPILOG)
    add_plan_flags(parser)
    parser.add_argument("--tuned", metavar="STUDY", help="the best of each arm of a search, on fresh seeds")
    parser.add_argument(
        "--until-decided", action="store_true", help="add seeds until every verdict, at most compare.max_seeds"
    )
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="with --tuned: where studies lie")
    args = parser.parse(arguments)
    composer = composer_for(args)
    if args.cfg is not None:
        from nin_exp.cli.train import print_config

        return print_config(composer, args)
    from nin_exp.cli.run_plan import run_plan

    command = command_line("compare", arguments)
    if args.until_decided:
        return _run_until_decided(composer, args, command)
    if args.tuned is not None:
        from nin_exp.plan.tuned import plan_tuned

        study_dir = find_study(args.tuned, Path(args.runs_dir).expanduser())
        return run_plan(plan_tuned(composer, study_dir, args.overrides, command), args)
    from nin_exp.plan.expand import plan_comparison

    return run_plan(plan_comparison(composer, args.overrides, command), args)


def _run_until_decided(composer: Composer, args: Any, command: str) -> int:
    if args.tuned is not None:
        raise ConfigError("--until-decided does not go with --tuned; give the tuned comparison more seeds=N instead")
    from nin_exp.cli.until import run_until_decided
    from nin_exp.plan.growth import plan_until_decided

    return run_until_decided(plan_until_decided(composer, args.overrides, command), args)
