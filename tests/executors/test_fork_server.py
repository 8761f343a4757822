"""The fork server: Ctrl-C while it imports, and what its children are spared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from nin_exp.executors.checking import start, start_context
context = start_context("forkserver")
context.set_forkserver_preload(["nin_exp.executors.quiet_start", "slow_import"])
process = context.Process(target=print)
try:
    start(context, process)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the fork server is Linux's way")
def test_an_interrupted_fork_server_says_nothing(tmp_path: Path) -> None:
    began = tmp_path / "began"
    (tmp_path / "slow_import.py").write_text(f"import time\nopen({str(began)!r}, 'w').close()\ntime.sleep(60)\n")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": f"{REPO / 'src'}:{tmp_path}"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    ) as process:
        while not began.exists() and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        # The pipe closes when the last process that holds it has ended.
        _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (130, "")


LOOK = """
import gc
def look(connection):
    connection.send((gc.get_freeze_count(), len(gc.get_objects())))
"""
ASK = """
from nin_exp.executors.checking import start, start_context
from looking import look
if __name__ == "__main__":
    context = start_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=look, args=(sender,))
    start(context, process)
    print(*receiver.recv())
    process.join()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the fork server is Linux's way")
def test_a_job_does_not_collect_garbage_among_what_was_imported(
    tmp_path: Path, python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Else its first collection takes as long as the rest of a short job, and copies the memory that it shares."""
    (tmp_path / "looking.py").write_text(LOOK)
    (tmp_path / "ask.py").write_text(ASK)
    done = python("ask.py", timeout=120)
    assert done.returncode == 0, done.stderr
    frozen, others = map(int, done.stdout.split())
    assert frozen > 200_000 > 20_000 > others
