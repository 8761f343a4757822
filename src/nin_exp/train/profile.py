"""Where the time of a few training steps goes: torch's profiler, into files of the run directory."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from nin_exp.records.files import write_text

log = logging.getLogger("nin_exp")

FIRST_STEP = 3
"""Steps before it are left out: they allocate and choose kernels."""
LAST_STEP = 8
FOLDER = "profile"


class StepProfile:
    """Records the fourth to the eighth step of a process, or those there are before its first epoch ends.

    Writes ``profile/trace.json`` (for chrome://tracing or ui.perfetto.dev) and ``profile/table.txt`` (operators by
    their own time).
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / FOLDER
        self._steps = 0
        self._profiler: profile | None = None
        self._is_done = False

    def start(self) -> None:
        """Training begins; steps count from here."""
        self._steps = 0

    def end_step(self) -> None:
        """A training step has ended."""
        self._steps += 1
        if self._is_done:
            return
        if self._steps == FIRST_STEP:
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            self._profiler = profile(activities=activities, record_shapes=True)
            self._profiler.start()
        elif self._steps == LAST_STEP:
            self.stop()

    def stop(self) -> None:
        """End recording, and write what was recorded."""
        if self._profiler is None:
            return
        profiler, self._profiler, self._is_done = self._profiler, None, True
        profiler.stop()
        self._folder.mkdir(exist_ok=True)
        partial = self._folder / ".trace.json.tmp"
        profiler.export_chrome_trace(str(partial))
        partial.replace(self._folder / "trace.json")
        column = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = profiler.key_averages().table(sort_by=column, row_limit=40)
        write_text(self._folder / "table.txt", table + "\n")
        log.info("profile of %d steps: %s", min(self._steps, LAST_STEP) - FIRST_STEP, self._folder)
