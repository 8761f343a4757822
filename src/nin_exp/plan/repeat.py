"""A run again: its own configuration as a plan of one job."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from nin_exp.compose.amend import amended, read_resolved
from nin_exp.compose.check import checked_config
from nin_exp.compose.composer import Composer
from nin_exp.compose.overrides import parse_overrides
from nin_exp.plan.jobs import Cell, Plan, make_job
from nin_exp.records.redact import redact_text
from nin_exp.records.study import PlannedJob, Study

REPEAT_STUDY = "repeat"


def plan_repeat(composer: Composer, run_dir: Path, texts: Iterable[str], command: str) -> Plan:
    """One run with the configuration of another and some settings changed, in the study ``repeat`` unless told.

    Args:
        run_dir: holds ``config.yaml``; the runs folder is that of its study unless ``runs_dir`` is set.

    Raises:
        ConfigError: a setting is wrong.
        IntegrityError: ``config.yaml`` is missing or damaged.
    """
    settings = parse_overrides(texts, composer.groups)
    values = read_resolved(run_dir / "config.yaml")
    values["study"], values["seeds"] = None, None
    threads = _threads(run_dir)  # they decide bits
    if threads is not None and values["trainer"].get("threads") is None:
        values["trainer"]["threads"] = threads
    values["runs_dir"] = str(run_dir.resolve().parent.parent)
    config = checked_config(amended(composer, values, settings), composer.allowed_packages)
    name = config.study if config.study is not None else REPEAT_STUDY
    study_dir = Path(config.runs_dir).expanduser() / name
    job = make_job(composer, config, Cell([]), study_dir, name, command)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    planned = PlannedJob(job.job_id, job.arm, job.block, job.seed, job.choices)
    study = Study(name, "train", redact_text(command), created, (planned,))
    return Plan(study=study, study_dir=study_dir, jobs=(job,), config=config)


def _threads(run_dir: Path) -> int | None:
    """The number of threads that a run's first start chose."""
    try:
        return int(json.loads((run_dir / "start.json").read_text(encoding="utf-8"))["threads"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
