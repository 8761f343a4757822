"""How a job of several ranks has ended, from what its ranks said and how their processes ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any, Literal

from nin_exp.errors import EXIT_BUG, NinExpError
from nin_exp.train.signals import Stopped, StopRequest


@dataclass(frozen=True)
class Ending:
    """A rank's last word.

    Args:
        outcome: what the first rank has measured, when it is done.
        told: the first rank's facts for the record; empty for others.
    """

    rank: int
    kind: Literal["done", "stopped", "failed"]
    exit_code: int
    message: str
    outcome: dict[str, Any]
    told: dict[str, Any]


def outcome_of(endings: list[Ending], codes: dict[int, int | None], stop: StopRequest) -> dict[str, Any]:
    """What the first rank has measured.

    The rank that fails first says so before it ends, and the others fail only because it has ended; a rank that was
    killed says nothing.

    Args:
        endings: in the order in which they were said.
        codes: exit code of each rank; None for those that had to be ended.

    Raises:
        NinExpError: of the class that the rank raised.
        Stopped: the ranks were asked to stop, and have saved.
    """
    first = [ending for ending in endings if ending.rank == 0 and ending.kind == "done"]
    if first and all(ending.kind == "done" for ending in endings):
        return first[0].outcome
    wrong = [ending for ending in endings if ending.kind != "done"]
    failed = wrong[0] if wrong and wrong[0].kind == "failed" else None
    if failed is not None and failed.exit_code != EXIT_BUG:  # ours: no lost connection is reported so
        raise _error(failed, len(codes))
    if stop.is_set:
        raise Stopped(stop.exit_code)
    spoken = {ending.rank for ending in endings}
    crashed = {rank: code for rank, code in codes.items() if code and rank not in spoken}
    for rank, code in crashed.items():
        raise NinExpError(_crash(rank, code, len(codes)))
    if failed is not None:
        raise _error(failed, len(codes))
    if wrong:
        raise Stopped(wrong[0].exit_code)
    silent = sorted(set(codes) - spoken)
    raise NinExpError(f"rank {silent[0]} of {len(codes)} ended without a word; see log.txt of the run")


def _error(ending: Ending, size: int) -> NinExpError:
    """The error that a rank raised, of its class; a bug says where it was met."""
    kinds = {kind.exit_code: kind for kind in NinExpError.__subclasses__()}
    if ending.exit_code not in kinds:
        return NinExpError(f"rank {ending.rank} of {size}: {ending.message}")
    return kinds[ending.exit_code](ending.message)


def _crash(rank: int, code: int, size: int) -> str:
    if code > 0:
        return f"rank {rank} of {size} ended with exit code {code} and said nothing; see log.txt of the run"
    name = signal.Signals(-code).name
    cause = ": probably memory ran out; lower trainer.batch_size" if -code == signal.SIGKILL else ""
    return f"rank {rank} of {size} was ended by {name}{cause}; with --retry-failed the run goes on"
