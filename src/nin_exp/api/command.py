"""Run a verb in a process of its own, from Python.

What trains starts worker processes, takes over signals and draws a display: a notebook, a thread or a script without
``if __name__ == "__main__"`` must not have that done to it, and a GPU is free again when the process ends. The command
that a run's record names is the one that was carried out.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from typing import IO, Any

from nin_exp.errors import EXIT_JOBS_FAILED, EXIT_PREEMPTED, EXIT_SIGINT, EXIT_SIGTERM, NinExpError

_STOPPED = (EXIT_PREEMPTED, EXIT_SIGINT, EXIT_SIGTERM, -2, -15)
_LINES_KEPT = 20


def run_verb(verb: str, words: Sequence[str], *, verbose: bool) -> dict[str, Any]:
    """Run ``nin-exp VERB … --json``; returns what it printed.

    Args:
        words: flags and overrides.
        verbose: pass on what it says while it runs.

    Raises:
        NinExpError: what went wrong, of the class that the exit code stands for.
        KeyboardInterrupt: it was stopped, here or from outside; what it had done is saved.
    """
    command = [sys.executable, "-m", "nin_exp", verb, *words, "--json"]
    # As multiprocessing does it: a package that can be imported here can be imported there.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}  # noqa: PTH109
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True, env=environment
        )
        with process:
            assert process.stderr is not None
            try:
                said = _follow(process.stderr, verbose=verbose)
                code = process.wait()
            except KeyboardInterrupt:
                process.terminate()  # it saves its state and ends; a Ctrl-C has reached it already
                process.wait()
                raise
        out.seek(0)
        printed = out.read()
    return _answer(code, printed, said)


def _follow(lines: IO[str], *, verbose: bool) -> list[str]:
    """The last lines, as they come; ends with the process."""
    kept: deque[str] = deque(maxlen=_LINES_KEPT)
    for line in lines:
        kept.append(line.rstrip())
        if verbose:
            sys.stderr.write(line)
            sys.stderr.flush()
    return list(kept)


def _answer(code: int, printed: str, said: list[str]) -> dict[str, Any]:
    if code in _STOPPED:
        raise KeyboardInterrupt("stopped; the same call goes on")
    values: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        loaded = json.loads(printed)
        values = loaded if isinstance(loaded, dict) else {}
    if code == 0 and values:
        return values
    if "error" in values and isinstance(values["error"], dict):
        message = str(values["error"]["message"])
    elif code == EXIT_JOBS_FAILED and "study" in values:
        failed = ", ".join(values.get("failed", [])) or "some, in an earlier call (retry_failed=True tries them again)"
        message = f"jobs of {values['study']} failed: {failed}; nin_exp.load_study opens what is done"
    else:
        lines = [line for line in (*printed.splitlines(), *said) if line.strip()]
        message = lines[-1] if lines else f"the process ended with exit code {code} and said nothing"
    raise _error_class(code)(message.removeprefix("nin-exp: error: "))


def _error_class(code: int) -> type[NinExpError]:
    return next((kind for kind in NinExpError.__subclasses__() if kind.exit_code == code), NinExpError)
