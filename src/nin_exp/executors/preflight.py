"""Check a plan before its first job starts: data readable, every distinct model built on the meta device."""

from __future__ import annotations

import json
from typing import Any

import torch

from nin_exp.build import build_augment, build_dataset, build_network, build_optimizer, build_schedule
from nin_exp.compose.check import checked_config
from nin_exp.config import ExperimentConfig
from nin_exp.contracts.data import ImageSpec
from nin_exp.data.folder import resolve_data_dir
from nin_exp.data.prepare import prepare
from nin_exp.errors import EXIT_BUG, NinExpError, OutOfMemoryError
from nin_exp.records.job import Job
from nin_exp.train.distributed.group import Group
from nin_exp.train.host import pick_device

_PARTS = ("backbone", "head", "optimizer", "schedule", "augment")
Problem = tuple[str, int, str]
"""Job id, exit code, message."""


def check_jobs(jobs: list[Job]) -> list[Problem]:
    """Build what the jobs would build, each distinct combination once; an empty list when all is well."""
    specs: dict[str, tuple[ImageSpec, int] | Problem] = {}
    seen: set[str] = set()
    problems: list[Problem] = []
    for job in jobs:
        data_key = _key([job.config["dataset"], job.config["data_dir"]])
        trainer = job.config["trainer"]
        model_key = _key([data_key, *(job.config[part] for part in _PARTS), trainer["accelerator"], trainer["devices"]])
        if model_key in seen:
            continue
        seen.add(model_key)
        config = checked_config(job.config, job.allowed_packages)
        if data_key not in specs:
            specs[data_key] = _attempt(job, lambda c=config, j=job: _read_spec(c, j))
            if _is_problem(specs[data_key]):
                problems.append(specs[data_key])  # type: ignore[arg-type]
        if _is_problem(specs[data_key]):
            continue
        found = _attempt(job, lambda c=config, j=job, s=specs[data_key]: _build_all(c, j, s))
        if _is_problem(found):
            problems.append(found)
    return problems


def _attempt(job: Job, action: Any) -> Any:
    try:
        return action()
    except NinExpError as error:
        return (job.job_id, error.exit_code, str(error))
    except (MemoryError, torch.OutOfMemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else "MemoryError"
        return (job.job_id, OutOfMemoryError.exit_code, f"memory ran out ({reason}); use smaller images")
    except Exception as error:
        return (job.job_id, EXIT_BUG, f"{type(error).__name__}: {error}")


def _is_problem(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 3


def _read_spec(config: ExperimentConfig, job: Job) -> tuple[ImageSpec, int]:
    source = build_dataset(config, job.allowed_packages)
    data = prepare(source, resolve_data_dir(config.data_dir), config.split_seed)
    return data.image_spec, data.num_classes


def _build_all(config: ExperimentConfig, job: Job, spec: tuple[ImageSpec, int]) -> None:
    device = pick_device(config.trainer.accelerator)
    build_augment(config, job.allowed_packages)
    with torch.device("meta"):
        network = build_network(config, spec[0], spec[1], job.allowed_packages)
    Group(0, config.trainer.devices, None).share_batch_statistics(network, device)
    # Schedules check their settings against an optimizer; a single weight is one.
    parameter = torch.nn.Parameter(torch.zeros(1))
    probe = torch.optim.SGD([parameter], lr=float(config.optimizer.get("lr", 1.0)), momentum=0.9)
    build_optimizer(config, job.allowed_packages)
    schedule = build_schedule(config, job.allowed_packages)
    epochs = max(1, config.trainer.max_epochs)
    schedule.build(probe, total_steps=10 * epochs, steps_per_epoch=10)
    del network


def _key(parts: list[Any]) -> str:
    return json.dumps(parts, sort_keys=True)
