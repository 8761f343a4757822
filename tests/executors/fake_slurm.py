"""A SLURM of one machine, for tests: sbatch, srun, scontrol, sacct and scancel, as far as submitit uses them.

Jobs are real processes with SLURM's environment; their state lies in FAKE_SLURM_DIR, a folder for each job.
``install(folder)`` writes the commands into ``folder/bin``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "scontrol", "sacct", "scancel")


def install(folder: Path) -> dict[str, str]:
    """Write the commands; returns the environment in which they are found."""
    binaries, state = folder / "bin", folder / "state"
    binaries.mkdir(parents=True)
    state.mkdir()
    for name in COMMANDS:
        script = binaries / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" {name} "$@"\n')
        script.chmod(0o755)
    return {"PATH": f"{binaries}:{os.environ['PATH']}", "FAKE_SLURM_DIR": str(state)}


def task_folders(state: Path) -> list[Path]:
    """Folders of all tasks that were ever submitted, each named after its SLURM id."""
    return sorted(p for p in state.iterdir() if p.is_dir())


def _state_dir() -> Path:
    return Path(os.environ["FAKE_SLURM_DIR"])


def sbatch(arguments: list[str]) -> None:
    text = Path(arguments[0]).read_text()
    array = re.search(r"--array=0-(\d+)%(\d+)", text)
    number = 100 + len(list(_state_dir().glob("batch-*.sh")))
    script = _state_dir() / f"batch-{number}.sh"
    script.write_text(text)
    names = [f"{number}_{k}" for k in range(int(array[1]) + 1)] if array else [str(number)]
    for name in names:
        (_state_dir() / name).mkdir()
        (_state_dir() / name / "state").write_text("PENDING")
    parallel = array[2] if array else "1"
    command = [sys.executable, __file__, "controller", str(script), parallel, *names]
    with (_state_dir() / "controller.txt").open("a") as log:
        subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    print(f"Submitted batch job {number}")


def controller(arguments: list[str]) -> None:
    """Run the tasks, so many at once, and those that are queued again once more."""
    script, parallel, *waiting = arguments
    running: dict[str, subprocess.Popen[bytes]] = {}
    while waiting or running:
        while waiting and len(running) < int(parallel):
            name = waiting.pop(0)
            if (_state_dir() / name / "state").read_text() == "CANCELLED":
                continue
            running[name] = _start(script, name)
        for name in [n for n, p in running.items() if p.poll() is not None]:
            process = running.pop(name)
            folder = _state_dir() / name
            if (folder / "requeue").exists():
                (folder / "requeue").unlink()
                (folder / "state").write_text("PENDING")
                waiting.append(name)
            elif (folder / "state").read_text() != "CANCELLED":
                (folder / "state").write_text("COMPLETED" if process.returncode == 0 else "FAILED")
        time.sleep(0.1)


def _start(script: str, name: str) -> subprocess.Popen[bytes]:
    number, _, index = name.partition("_")
    environment = {
        **os.environ, "SLURM_JOB_ID": number if not index else str(int(number) * 1000 + int(index)),
        "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
        "FAKE_SLURM_TASK": name,
    }  # fmt: skip
    if index:
        environment |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index}
    folder = _state_dir() / name
    (folder / "state").write_text("RUNNING")
    starts = folder / "starts"
    starts.write_text(str(int(starts.read_text()) + 1 if starts.exists() else 1))
    return subprocess.Popen(["bash", script], env=environment, start_new_session=True)


def srun(arguments: list[str]) -> None:
    """Redirect the output as asked, and become the command."""
    words = list(arguments)
    number, _, index = os.environ["FAKE_SLURM_TASK"].partition("_")
    places = {"%A": number, "%a": index, "%j": os.environ["SLURM_JOB_ID"], "%t": "0"}
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option in ("--output", "--error"):
            path = words.pop(0)
            for mark, value in places.items():
                path = path.replace(mark, value)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(descriptor, 1 if option == "--output" else 2)
    (_state_dir() / os.environ["FAKE_SLURM_TASK"] / "pid").write_text(str(os.getpid()))
    os.execvp(words[0], words)


def scontrol(arguments: list[str]) -> None:
    assert arguments[0] == "requeue"
    (_state_dir() / arguments[1] / "requeue").touch()


def sacct(arguments: list[str]) -> None:
    wanted = [arguments[k + 1] for k, word in enumerate(arguments) if word == "-j"]
    print("JobID|State|NodeList")
    for folder in task_folders(_state_dir()):
        if folder.name.split("_")[0] in wanted:
            print(f"{folder.name}|{(folder / 'state').read_text()}|here")


def scancel(arguments: list[str]) -> None:
    for folder in task_folders(_state_dir()):
        if folder.name in arguments or folder.name.split("_")[0] in arguments:
            was_running = (folder / "state").read_text() == "RUNNING"
            (folder / "state").write_text("CANCELLED")
            if was_running and (folder / "pid").exists():
                signal_task(folder, signal.SIGTERM, whole_group=True)


def signal_task(folder: Path, number: int, *, whole_group: bool = False) -> None:
    """Send a signal to a task's process, or to all of its processes, as SLURM does."""
    pid = int((folder / "pid").read_text())
    if not whole_group:
        os.kill(pid, number)
        return
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"FAKE_SLURM_TASK={folder.name}".encode() in environment:
            os.kill(int(process.name), number)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2:])
