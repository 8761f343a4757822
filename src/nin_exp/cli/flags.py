"""Flags that several verbs share."""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from nin_exp.errors import ConfigError, nearest

_SHOW_PARSER = "--show-parser"


class ParserShown(Exception):
    """A verb's parser, which was asked for with ``_SHOW_PARSER``."""

    def __init__(self, parser: Parser) -> None:
        self.parser = parser


class _ShowParser(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        assert isinstance(parser, Parser)
        raise ParserShown(parser)


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are the project's: one line, exit code 2, the nearest flag named."""

    @property
    def arguments(self) -> Sequence[argparse.Action]:
        """Flags and positional arguments, in the order in which they were added."""
        return self._actions

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the program, with ``--help`` printed: where it cannot be, main says so."""
        sys.stdout.flush()
        super().exit(status, message)

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see `{self.prog} --help`")

    def parse(self, arguments: Sequence[str]) -> Any:
        """Parse flags and overrides in any order."""
        # An optional value must not swallow the override behind it: only --dry-run=build gives one.
        words = ["--dry-run=plan" if word == "--dry-run" else word for word in arguments]
        known, rest = self.parse_known_intermixed_args(words)
        unknown = [a for a in rest if a.startswith("-")]
        if unknown:
            flags = [o for action in self._actions for o in action.option_strings if o.startswith("--")]
            name = unknown[0].split("=")[0]
            hint = nearest(name, flags) if len(name) > 2 else ""
            raise ConfigError(f"{name} is not a flag of `{self.prog}`.{hint if 'Did' in hint else ''}")
        if rest:
            raise ConfigError(f"'{rest[0]}' is one word too many; see `{self.prog} --help`")
        if getattr(known, "resolve", False) and known.cfg is None:
            raise ConfigError("--resolve is for a printed configuration; add --cfg job, or leave it out")
        return known


def make_parser(verb: str, description: str, epilog: str | None = None) -> Parser:
    """A parser with what every verb takes."""
    parser = Parser(
        prog=f"nin-exp {verb}",
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(_SHOW_PARSER, action=_ShowParser, nargs=0, help=argparse.SUPPRESS)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def parser_of(verb: str) -> Parser:
    """The parser of a verb, with all that it takes: what completion offers is what the verb accepts."""
    try:
        importlib.import_module(f"nin_exp.cli.{verb}").run([_SHOW_PARSER])
    except ParserShown as shown:
        return shown.parser
    raise AssertionError(f"{verb} must parse its arguments first")


def add_config_flags(parser: Parser) -> None:
    """Overrides, and where configuration comes from."""
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="overrides in Hydra's syntax")
    parser.add_argument("--config-dir", metavar="DIR", help="a folder of your own options, laid out as conf/")
    parser.add_argument(
        "--allow-package",
        action="append",
        default=[],
        metavar="PKG",
        help="trust _target_ classes of this package",
    )


def add_training_flags(parser: Parser) -> None:
    """Flags of verbs that train."""
    add_config_flags(parser)
    parser.add_argument("-c", "--cfg", choices=["job"], help="print the composed configuration and stop")
    parser.add_argument("--resolve", action="store_true", help="with --cfg: resolve interpolations")
    parser.add_argument(
        "--dry-run",
        nargs="?",
        const="plan",
        choices=["plan", "build"],
        metavar="[=build]",
        help="show the plan and stop; --dry-run=build also builds each distinct model",
    )
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first failure: --max-failures 1")
    parser.add_argument("--max-failures", type=_count, metavar="N", help="stop the plan when N jobs have failed")
    parser.add_argument("--limit", type=_count, metavar="N", help="run at most N jobs (of tune: trials) now")


def add_plan_flags(parser: Parser) -> None:
    """Flags of verbs whose plan is known before it starts."""
    add_training_flags(parser)
    parser.add_argument(
        "--stale",
        choices=["keep", "rerun"],
        help="what to do with runs made with other code or data (else: exit 2)",
    )
    parser.add_argument("--retry-failed", action="store_true", help="train failed jobs again")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="run only jobs whose label or setting fits, such as 'gap*', 'seed 3', 'optimizer.lr=0.1'",
    )


def _count(text: str) -> int:
    """An integer from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got '{text}'")
    return int(text)


def command_line(verb: str, arguments: Sequence[str]) -> str:
    """What was typed, ready to be typed again."""
    return shlex.join(["nin-exp", verb, *arguments])


def composer_for(args: Any) -> Any:
    """The composer of the parsed flags."""
    from nin_exp.compose.composer import Composer
    from nin_exp.compose.groups import resolve_config_dirs

    return Composer(resolve_config_dirs(args.config_dir), tuple(args.allow_package))


def is_terminal() -> bool:
    """Whether progress may be drawn."""
    return sys.stderr.isatty()
