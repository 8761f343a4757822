"""What a plan asks of an executor, whatever the executor is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nin_exp.errors import ConfigError
from nin_exp.records.job import Job


@dataclass(frozen=True)
class Demand:
    """How many jobs there are, and what one of them needs.

    Args:
        use_gpus: whether jobs use GPUs where there are any.
        devices: that train one job together (its ranks); of jobs that differ, the most.
    """

    num_jobs: int
    use_gpus: bool
    devices: int = 1

    @staticmethod
    def of(jobs: Iterable[Job], num_jobs: int) -> Demand:
        """What these jobs need, of which a plan has so many."""
        devices, use_gpus = 1, False
        for job in jobs:
            trainer = job.config["trainer"]
            devices = max(devices, trainer["devices"])
            use_gpus = use_gpus or (trainer["accelerator"] != "cpu" and job.config["engine"] != "numpy")
        return Demand(num_jobs, use_gpus, devices)

    def gpus_per_job(self, asked: float | None) -> float:
        """``executor.gpus_per_job``, by default one for each device.

        Raises:
            ConfigError: the ranks of a job have not one each.
        """
        if asked is None:
            return self.devices
        if self.devices > 1 and 0 < asked < self.devices:
            raise ConfigError(
                f"executor.gpus_per_job must be at least trainer.devices ({self.devices}), got {asked:g}; "
                "leave it null: one for each device"
            )
        return asked
