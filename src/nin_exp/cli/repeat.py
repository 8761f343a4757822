"""``nin-exp train --from RUN``: a run again, and with ``--verify`` whether it gives the same bits."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nin_exp.errors import ConfigError, IntegrityError
from nin_exp.plan.jobs import Plan
from nin_exp.records.index import find_run


def plan_from(composer: Any, args: Any, command: str) -> tuple[Plan, Path]:
    """The plan that repeats the run that ``--from`` names, and that run's directory."""
    from nin_exp.plan.repeat import plan_repeat

    if args.multirun:
        raise ConfigError("--from repeats one run and does not go with -m; give one of them")
    if args.verify and args.overrides:
        raise ConfigError(f"--verify repeats a run as it was, got {args.overrides[0]}; take it out, or --verify")
    run_dir = find_run(args.source, Path(args.runs_dir).expanduser())
    return plan_repeat(composer, run_dir, args.overrides, command), run_dir


def run_verify(plan: Plan, run_dir: Path, args: Any) -> int:
    """Repeat a run in a scratch folder and tell whether it is the same, bit for bit.

    Raises:
        IntegrityError: it is not; names what differs.
    """
    from nin_exp.cli.progress import RunProgress
    from nin_exp.executors.verify import verify
    from nin_exp.train.signals import Stopped

    scratch_dir = tempfile.TemporaryDirectory(prefix="nin-exp-verify-")
    with scratch_dir as scratch, RunProgress(plan.config.trainer.max_epochs) as progress:
        try:
            found = verify(plan.jobs[0], run_dir, Path(scratch), progress.on_epoch)
        except Stopped as stopped:
            return stopped.exit_code
    if args.json:
        print(json.dumps({"run": str(run_dir), **asdict(found)}))
    elif not found.different:
        print(f"{run_dir} gives the same bits again: {', '.join(found.equal)}")
    if found.different:
        why = f"; {'; '.join(found.circumstances)}" if found.circumstances else "; same versions, same code"
        raise IntegrityError(f"{run_dir} does not give the same bits again: {', '.join(found.different)}{why}")
    return 0
