"""A job: one resolved configuration on its way to a run directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """One run to be made; plain data, so that it can be sent to any process.

    Args:
        config: the resolved configuration, as a mapping.
        config_hash: SHA-256 of what decides the result; ``job_id`` is its start.
        group_hash: the same without the seeds.
        choices: the settings that differ between the jobs of the plan, as typed.
    """

    job_id: str
    config: dict[str, Any]
    config_hash: str
    group_hash: str
    run_dir: Path
    study: str
    seed: int
    arm: str = ""
    block: str = ""
    command: str = ""
    choices: dict[str, str] = field(default_factory=dict)
    allowed_packages: tuple[str, ...] = ("nin_exp",)
