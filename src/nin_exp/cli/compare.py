"""``nin-exp compare``: arms, blocks and paired seeds; then the report."""

from __future__ import annotations

from collections.abc import Sequence

from nin_exp.cli.flags import add_plan_flags, command_line, composer_for, make_parser

_DESCRIPTION = """Compare arms over blocks and paired seeds, and report the verdict.

Comma lists over the keys in compare.by (default: the only key with a list, else head) are the arms, the other
lists are blocks, seeds are the inner, paired loop: seeds=8 is 0 ... 7."""
_EPILOG = """examples:
  nin-exp compare head=gap,fc dataset=mnist,fashion_mnist seeds=8
  nin-exp compare optimizer=sgd,adam compare.by=[optimizer] head=gap,fc seeds=6
The same command again runs only what is missing; more seeds go on in the same study."""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("compare", _DESCRIPTION, _EPILOG)
    add_plan_flags(parser)
    args = parser.parse(arguments)
    composer = composer_for(args)
    if args.cfg is not None:
        from nin_exp.cli.train import print_config

        return print_config(composer, args)
    from nin_exp.cli.run_plan import run_plan
    from nin_exp.plan.expand import plan_comparison

    return run_plan(plan_comparison(composer, args.overrides, command_line("compare", arguments)), args)
