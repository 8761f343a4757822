"""``nin-exp VERB [--flags] [overrides]``: find the verb, run it, turn errors into one line and an exit code.

Nothing heavy is imported here: ``--help`` and completion must answer at once.
"""

from __future__ import annotations

import errno
import importlib
import io
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any, TextIO

from nin_exp import __version__
from nin_exp.errors import (
    EXIT_SIGINT,
    EXIT_SIGTERM,
    ConfigError,
    NinExpError,
    OutOfMemoryError,
    StorageError,
    nearest,
)
from nin_exp.train.signals import hangup

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
    "data": "list, prepare, check and split data sets",
    "bench": "measure nin-exp on this machine, against the plain way of doing it",
    "doctor": "what this machine has, and what is wrong",
    "completion": "print the completion script of a shell",
}
_HIDDEN = {"__complete": "nin_exp.cli.complete"}
_LONGEST_WORD = 300
_REFUSED_BY_SYSTEM = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if argv is None:
        _start_program()
    arguments = list(sys.argv[1:] if argv is None else argv)
    code = 0
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()  # here, and not at the interpreter's end, where errors can only be printed
        return code
    except KeyboardInterrupt:
        return EXIT_SIGINT
    except Exception as error:
        stopped = _code_of_signal(error)
        if stopped is not None:
            return stopped
        is_unread = isinstance(error, BrokenPipeError) and _has_no_reader(sys.stdout)
        _settle_stdout()
        if is_unread:  # the reader (`| head`) has gone: there is nobody to tell
            return code
        if "--debug" in arguments:
            traceback.print_exc()
        return _fail(_in_our_terms(error), as_json="--json" in arguments)


def _code_of_signal(error: BaseException) -> int | None:
    """The exit code of a signal that came first, where what it left half-done raised an error of its own."""
    ahead: list[BaseException | None] = [error]
    seen: set[int] = set()  # an error raised again from what it had caused is its own cause
    while ahead:
        one = ahead.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, KeyboardInterrupt):
            return EXIT_SIGINT
        if isinstance(one, SystemExit) and one.code == EXIT_SIGTERM:
            return EXIT_SIGTERM
        ahead += [one.__cause__, one.__context__]  # OmegaConf raises from nothing what came of an interrupt
    return None


def bound_spinning() -> None:
    """Let torch's threads sleep soon where they wait for each other, unless the user has said how they wait.

    libgomp reads this when torch is imported, and by default spins for milliseconds at the end of each operation. With
    other work on the cores the thread that is waited for does not run meanwhile: two threads trained a small network at
    a quarter of the speed. Changes no bit of what is computed.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _start_program() -> None:
    """What a program needs and a call from Python must not touch: signals, standard streams, the environment."""
    bound_spinning()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script: a plan heeds it there too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, *hangup()):  # their exit code from the first moment
        signal.signal(number, lambda number, frame: sys.exit(EXIT_SIGTERM))
    for descriptor in range(3):  # a closed one would be given to the next file, which then takes what is printed
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may hold what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")


def _has_no_reader(stream: TextIO) -> bool:
    """Whether the program that reads our output has ended."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _settle_stdout() -> None:
    """Print what standard output still holds; where it takes nothing, drop it: it would fail again at the exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(arguments: list[str]) -> int:
    if not (3, 11) <= sys.version_info < (3, 14):  # from 3.14 on hydra-core 1.3 breaks inside argparse
        version = ".".join(map(str, sys.version_info[:2]))
        raise ConfigError(f"Python must be 3.11 to 3.13, got {version}; make a virtual environment with one of those")
    if not arguments or arguments[0] in ("-h", "--help") or arguments == ["help"]:
        print(_help())
        return 0 if arguments else ConfigError.exit_code
    if arguments[0] in ("-V", "--version"):
        print(f"nin-exp {__version__}")
        return 0
    verb, *rest = arguments if arguments[0] != "help" else [arguments[1], "--help"]
    if verb not in VERBS and verb not in _HIDDEN:
        raise ConfigError(f"'{verb}' is not a verb of nin-exp.{_verb_hint(verb)}")
    try:
        os.getcwd()  # noqa: PTH109 (pathlib would cost start-up time)
    except OSError as error:
        raise StorageError("the working folder must exist, and has been removed; change to another one") from error
    module: Any = importlib.import_module(_HIDDEN.get(verb, f"nin_exp.cli.{verb}"))
    code: int = module.run(rest)
    return code


def _verb_hint(word: str) -> str:
    if word.startswith("-") or "=" in word:
        return " Flags and settings stand behind a verb, such as `nin-exp train head=gap`."
    known = nearest(word, VERBS)
    return known if "Did you mean" in known else " `nin-exp --help` lists the verbs."


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
            "",
            "exit codes: 0 done, 1 a bug, 2 configuration, 3 data, 4 integrity, 5 refused, 6 storage, 7 diverged,",
            "8 out of memory, 9 some jobs failed, 75 saved for SLURM, 130 Ctrl-C, 143 SIGTERM",
        ]
    )


def _in_our_terms(error: Exception) -> NinExpError:
    """The error itself where it is one of ours; else what the system refused, or a bug."""
    if isinstance(error, NinExpError):
        return error
    reason = str(error).splitlines()[0] if str(error) else ""
    if isinstance(error, MemoryError):
        return OutOfMemoryError(f"memory ran out ({reason or 'MemoryError'}); close other programs, or ask for less")
    if isinstance(error, OSError) and error.errno in _REFUSED_BY_SYSTEM:
        place = error.filename or "a file, or standard output,"
        return StorageError(f"{place} cannot be used: {error.strerror}; free space, or change its path or permissions")
    if isinstance(error, RuntimeError) and "home directory" in reason:  # of expanduser
        return ConfigError(f"a path starts with ~ and there is no such home ({reason}); write the path out")
    return NinExpError(f"{type(error).__name__}: {reason} (this is a bug; run again with --debug for the traceback)")


def _fail(error: NinExpError, *, as_json: bool = False) -> int:
    # One line, and nothing in it that a terminal would obey: names of files and classes are other people's text.
    text = " ".join(word if len(word) <= _LONGEST_WORD else f"{word[:80]}…{word[-40:]}" for word in str(error).split())
    message = "".join(c if c.isprintable() else "?" for c in text)
    if as_json:
        print(json.dumps({"error": {"code": error.exit_code, "message": message}}), flush=True)
    print(f"nin-exp: error: {message}", file=sys.stderr)
    return error.exit_code
