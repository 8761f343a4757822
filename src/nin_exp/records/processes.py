"""Processes by more than their number: a pid is given again, a pid with its start time is not."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from nin_exp.records.files import write_json

PROCESS_FILE = ".process.json"
"""In a run directory while a process trains there."""

RUNNING_DIR = ".running"
"""In a study's folder: a file for each process that carries out a plan on it."""


@dataclass(frozen=True)
class ProcessId:
    """One process of one machine; ``started`` tells it from a later one with its number."""

    pid: int
    started: str
    host: str

    @property
    def is_here(self) -> bool:
        """Whether it was started on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Whether it still runs on this machine."""
        return self.is_here and _start_time(self.pid) == self.started


def this_process() -> ProcessId:
    """The calling process."""
    return ProcessId(os.getpid(), _start_time(os.getpid()), socket.gethostname())


def send_signal(process: ProcessId, number: signal.Signals) -> bool:
    """Signal exactly this process; returns False when it has ended, whoever has its number now."""
    if not hasattr(os, "pidfd_open"):
        if not process.is_alive:
            return False
        os.kill(process.pid, number)
        return True
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        # The descriptor holds one process: if that is the one meant, no other can take its place from here on.
        if not process.is_alive:
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _start_time(pid: int) -> str:
    """When a living process started, with the machine's boot; empty when there is none."""
    stat = Path("/proc", str(pid), "stat")
    if Path("/proc/self/stat").exists():
        try:
            # The name may hold spaces and brackets: fields are counted from behind it.
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else f"{boot}/{fields[19]}"
    try:
        done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def remember_process(path: Path) -> None:
    """Write down that this process works here."""
    write_json(path, asdict(this_process()))


def recall_process(path: Path) -> ProcessId | None:
    """The process that was written down; None when there is none, or the file is not whole."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        process = ProcessId(int(values["pid"]), str(values["started"]), str(values["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return process if process.pid > 1 and process.started else None
