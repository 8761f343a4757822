"""``nohup``: a run goes on when its terminal has gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from nin_exp.executors.stopping import StopSignals
from nin_exp.train.signals import StopRequest

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no terminal that hangs up")


@pytest.fixture(params=[signal.SIG_IGN, signal.SIG_DFL], ids=["nohup", "terminal"])
def is_ignored(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether SIGHUP was ignored when the program started."""
    before = signal.signal(signal.SIGHUP, request.param)
    yield request.param is signal.SIG_IGN
    signal.signal(signal.SIGHUP, before)


def test_a_run(is_ignored: bool) -> None:
    stop = StopRequest()
    stop.install()
    stop.install()  # as after a library that takes signals over
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.is_set is not is_ignored
    finally:
        stop.uninstall()


def test_a_plan(is_ignored: bool) -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.is_set is not is_ignored
