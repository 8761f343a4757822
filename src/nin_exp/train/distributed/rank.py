"""A rank's process: ``python -m nin_exp.train.distributed.rank``, started by its job and told by an environment
variable what to do. It ends with its job, and listens to signals, before it imports what takes seconds.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

from nin_exp.train.distributed.stop import RankStopRequest


def main() -> None:
    """Train as the job says, and end with the exit code of what happened."""
    order = json.loads(os.environ.pop("NIN_EXP_RANK"))
    _end_with(int(order["job_pid"]))
    stop = RankStopRequest()
    stop.install()
    console = _write_into(Path(order["job"]["run_dir"]) / "log.txt")
    from nin_exp.train.distributed.work import work

    code = work(order, stop, console)
    for stream in (console, sys.stdout, sys.stderr):
        stream.flush()
    # Not sys.exit: libraries' exit handlers and threads may hang, and everything is written.
    os._exit(code)


def _end_with(job: int) -> None:
    """Die at once when the job's process has died, also by kill -9; what is saved is whole at any time."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(job,), daemon=True).start()
    if os.getppid() != job:  # it died before the request was made
        os._exit(1)


def _watch(job: int) -> None:
    while os.getppid() == job:
        time.sleep(1)
    os._exit(1)


def _write_into(log_file: Path) -> TextIO:
    """Let what libraries print go to the run's log; returns the console as it was."""
    console = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    return console


if __name__ == "__main__":
    main()
