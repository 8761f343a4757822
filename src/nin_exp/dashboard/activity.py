"""What becomes of a run that has no record yet: it trains, was killed, or was stopped and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from nin_exp.records.processes import PROCESS_FILE, RUNNING_DIR, recall_process

Activity = Literal["running", "elsewhere", "killed", "stopped"]
ACTIVITIES: dict[Activity, str] = {
    "running": "running",
    "elsewhere": "on another machine",
    "killed": "killed, can go on",
    "stopped": "stopped, can go on",
}
LOCK_FILE = ".lock"


def find_activity(run_dir: Path) -> Activity:
    """Look for the process that trains in a directory. Takes no lock: a job that starts now must find it free.

    ``elsewhere``: its process was started on another machine, and cannot be asked.
    """
    process = recall_process(run_dir / PROCESS_FILE)
    if process is None:
        if not (run_dir / LOCK_FILE).exists():
            return "stopped"
        # A run inside its plan's own process has no file of its own.
        plans = [recall_process(path) for path in (run_dir.parent / RUNNING_DIR).glob("*.json")]
        return "running" if any(plan is not None and plan.is_alive for plan in plans) else "killed"
    if not process.is_here:
        return "elsewhere"
    return "running" if process.is_alive else "killed"
