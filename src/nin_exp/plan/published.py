"""The published number that a preset names, and whether a job is what the number was published for."""

from __future__ import annotations

from collections.abc import Sequence

from nin_exp.compose.composer import Assignment, Composer
from nin_exp.compose.identity import group_hash
from nin_exp.config import VOLATILE_KEYS, VOLATILE_TRAINER_KEYS, ExperimentConfig
from nin_exp.plan.axes import SEED_KEYS
from nin_exp.records.job import Job
from nin_exp.records.study import Published

_WITHOUT_EFFECT = (
    *VOLATILE_KEYS,
    *SEED_KEYS,
    *(f"trainer.{key}" for key in VOLATILE_TRAINER_KEYS),
    "dataset.source",
)
"""Settings, and first parts of settings, that leave a job what the preset says."""


def published_for(
    composer: Composer, config: ExperimentConfig, assignments: Sequence[Assignment], job: Job
) -> list[Published]:
    """The number beside a job; none where its preset names none for its arm.

    A job with other settings than the preset has the number too, and the settings that were changed with it.
    """
    named = config.published
    if named is None:
        return []
    value = named["value"]
    if isinstance(value, dict):
        if job.arm not in value:
            return []
        value = value[job.arm]
    own = [(key, text) for key, text in assignments if key == "experiment" or key in config.sweep.params]
    preset = composer.compose(own)
    trusted = composer.allowed_packages
    changed: tuple[str, ...] = ()
    if group_hash(preset, trusted) != job.group_hash:
        changed = tuple(
            f"{key}={text}"
            for key, text in assignments
            if (key, text) not in own and key.split(".")[0] not in _WITHOUT_EFFECT and key not in _WITHOUT_EFFECT
        )
    return [Published(job.arm, job.block, named["metric"], float(value), named["source"], changed, (job.job_id,))]
