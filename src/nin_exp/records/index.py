"""Find runs on disk: a study's, or all of them."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from nin_exp.errors import ConfigError
from nin_exp.records.cache import read_records
from nin_exp.records.record import RECORD_FILE, Record

MOST_COMPARED = 2000
"""Names that a mistyped one is compared with; all of a hundred thousand would take a minute."""


@dataclass(frozen=True)
class Run:
    """A run directory; ``record`` is None while it has not finished, ``problem`` says why one cannot be read."""

    path: Path
    record: Record | None
    problem: str = ""


def list_runs(runs_dir: Path, study: str | None = None) -> list[Run]:
    """All runs below a folder, or those of one study; ordered by path."""
    found = []
    for folder in _study_dirs(runs_dir, study):
        names = _folder_names(folder)
        records = read_records(folder, names)
        for name in names:
            one = records.get(name)
            if one is not None:
                found.append(Run(folder / name, one.record, one.problem or ""))
            elif os.path.isfile(f"{folder}/{name}/config.yaml"):  # noqa: PTH113 (a Path each would take longer)
                found.append(Run(folder / name, None))
    return found


def _study_dirs(runs_dir: Path, study: str | None) -> list[Path]:
    return [runs_dir / study] if study is not None else sorted(p for p in runs_dir.glob("*") if p.is_dir())


def _folder_names(folder: Path) -> list[str]:
    """The names of the folders in a study's folder, in order."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []


def _is_run(path: str) -> bool:
    return any(os.path.isfile(f"{path}/{name}") for name in (RECORD_FILE, "config.yaml"))  # noqa: PTH113


def find_run(name: str, runs_dir: Path) -> Path:
    """A run directory from its path, its job id, or the start of one.

    Raises:
        ConfigError: no run, or more than one, is called so; names the nearest.
    """
    given = Path(name).expanduser()
    if (given / "config.yaml").is_file() or (given / RECORD_FILE).is_file():
        return given
    all_names = [(folder, run) for folder in _study_dirs(runs_dir, None) for run in _folder_names(folder)]
    matches = [
        folder / run
        for folder, run in all_names
        if (run.startswith(name) or f"{folder.name}/{run}".startswith(name)) and _is_run(f"{folder}/{run}")
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        shown = ", ".join(map(str, matches[:4]))
        raise ConfigError(f"'{name}' fits {len(matches)} runs ({shown} …); give the path of one")
    known = [(folder, run) for folder, run in all_names[:MOST_COMPARED] if _is_run(f"{folder}/{run}")]
    texts = [run for _, run in known] + [f"{folder}/{run}" for folder, run in known]
    near = difflib.get_close_matches(name, texts, n=3, cutoff=0.5)
    hint = f" Nearest: {', '.join(near)}." if near else f" `nin-exp ls --runs-dir {runs_dir}` lists the runs."
    raise ConfigError(f"'{name}' is not a run directory nor the start of a job id below {runs_dir}.{hint}")


def find_study(name: str | None, runs_dir: Path) -> Path:
    """A study's folder from its path or name; the newest one when no name is given.

    Raises:
        ConfigError: there is no such study; names the nearest.
    """
    studies = {p.parent.name: p.parent for p in runs_dir.glob("*/study.json")}
    if name is None:
        if not studies:
            raise ConfigError(f"no study lies below {runs_dir}; run `nin-exp compare` first, or give a study's path")
        return max(studies.values(), key=lambda folder: (folder / "study.json").stat().st_mtime)
    for folder in (Path(name).expanduser(), runs_dir / name):
        if (folder / "study.json").is_file():
            return folder
    near = difflib.get_close_matches(name, studies, n=3, cutoff=0.4)
    hint = f" Did you mean '{near[0]}'?" if near else f" Known: {', '.join(sorted(studies)[:12]) or 'none'}."
    raise ConfigError(f"'{name}' is not a study below {runs_dir} (a folder with a study.json).{hint}")
