"""``nin-exp VERB [--flags] [overrides]``: find the verb, run it, turn errors into one line and an exit code.

Nothing heavy is imported here: ``--help`` and completion must answer at once.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from nin_exp import __version__
from nin_exp.errors import EXIT_BUG, EXIT_SIGINT, EXIT_SIGTERM, ConfigError, NinExpError, nearest

VERBS = {
    "train": "train one run, or with -m a grid of runs",
    "compare": "compare arms over blocks and paired seeds, and report the verdict",
    "tune": "search a space, each arm with the same budget",
    "report": "rebuild a study's report from its run directories, or one over several",
    "dashboard": "watch studies in a browser on this machine, while they run",
    "evaluate": "evaluate a trained run on a split, or on another data set",
    "predict": "classes and probabilities of images, from a trained run",
    "explain": "where a trained run looks: class maps, CAM, Grad-CAM, filters",
    "export": "a trained run as ONNX, torch.export, safetensors or NumPy, with a model card",
    "ls": "list runs",
    "show": "show one run's record",
    "best": "which run of a study was best, on validation",
    "diff": "configuration and metrics in which two runs differ",
    "cancel": "stop a running plan; the same command goes on",
    "summary": "layer table of a network: shapes, parameters, MACs",
    "data": "list, prepare and check data sets",
    "doctor": "what this machine has, and what is wrong",
    "completion": "print the completion script of a shell",
}
_HIDDEN = {"__complete": "nin_exp.cli.complete"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # a program, not a call from Python: SIGTERM has its exit code from the first moment
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(EXIT_SIGTERM))
    if sys.version_info >= (3, 14):  # hydra-core 1.3 breaks inside argparse there
        version = ".".join(map(str, sys.version_info[:2]))
        return _fail(
            ConfigError(f"Python must be 3.11 to 3.13, got {version}; make a virtual environment with one of those")
        )
    is_debug = "--debug" in arguments
    try:
        return _dispatch(arguments)
    except NinExpError as error:
        if is_debug:
            raise
        return _fail(error, as_json="--json" in arguments)
    except KeyboardInterrupt:
        return EXIT_SIGINT
    except BrokenPipeError:
        # The reader (`| head`) has gone: there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if is_debug:
            raise
        reason = str(error).splitlines()[0] if str(error) else ""
        message = f"{type(error).__name__}: {reason} (this is a bug; run again with --debug for the traceback)"
        return _fail(NinExpError(message), as_json="--json" in arguments)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        print(f"nin-exp {__version__}")
        return 0
    verb, rest = arguments[0], arguments[1:]
    if verb in _HIDDEN:
        module = importlib.import_module(_HIDDEN[verb])
    elif verb in VERBS:
        module = importlib.import_module(f"nin_exp.cli.{verb}")
    else:
        known = nearest(verb, VERBS)
        hint = known if "Did you mean" in known else " `nin-exp --help` lists the verbs."
        raise ConfigError(f"'{verb}' is not a verb of nin-exp.{hint}")
    run: Any = module.run
    code: int = run(rest)
    return code


def _help() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()]
    return "\n".join(
        [
            "usage: nin-exp VERB [--flags] [key=value ...]",
            "",
            "Which head, optimizer or backbone is better, by how much, and how sure?",
            "",
            *lines,
            "",
            "  nin-exp compare head=gap,fc dataset=mnist,fashion_mnist seeds=8",
            "  nin-exp VERB --help        the flags of a verb",
            "  nin-exp train --cfg job    the configuration, composed",
        ]
    )


def _fail(error: NinExpError, *, as_json: bool = False) -> int:
    # One line, and nothing in it that a terminal would obey: names of files and classes are other people's text.
    message = "".join(c if c.isprintable() else "?" for c in " ".join(str(error).split()))
    if as_json:
        print(json.dumps({"error": {"code": error.exit_code, "message": message}}))
    print(f"nin-exp: error: {message}", file=sys.stderr)
    return error.exit_code or EXIT_BUG
