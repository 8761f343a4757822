"""What planning costs: seconds and memory of a dry run, from ten jobs to thousands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nin_exp.bench.command import run_nin_exp


@dataclass(frozen=True)
class PlanCost:
    """A dry run as a whole process.

    Args:
        more_seconds, more_bytes: for each job beyond those of the smallest plan, which start and compose as well;
            None for the smallest.
    """

    jobs: int
    seconds: float
    peak_bytes: int
    more_seconds: float | None
    more_bytes: float | None

    def __str__(self) -> str:
        text = f"planning {self.jobs} jobs: {self.seconds:.2f} s, {self.peak_bytes / 2**20:.0f} MiB"
        if self.more_seconds is None or self.more_bytes is None:
            return text
        return f"{text}; each more job {1000 * self.more_seconds:.2f} ms, {self.more_bytes / 1024:.1f} KiB"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure_plans(folder: Path, *, sizes: tuple[int, ...]) -> list[PlanCost]:
    """Dry runs of two heads, five data sets and as many seeds as each size needs."""
    costs: list[PlanCost] = []
    for size in sizes:
        jobs = max(1, size // 10) * 10
        ended = run_nin_exp(
            "compare", "--dry-run", "head=gap,fc", "dataset=digits,mnist,fashion_mnist,cifar10,svhn",
            f"seeds={jobs // 10}", f"runs_dir={folder / 'runs'}", folder=folder,
        )  # fmt: skip
        more: tuple[float | None, float | None] = (None, None)
        if costs and jobs > costs[0].jobs:
            number = jobs - costs[0].jobs
            more = (ended.seconds - costs[0].seconds) / number, (ended.peak_bytes - costs[0].peak_bytes) / number
        costs.append(PlanCost(jobs, ended.seconds, ended.peak_bytes, *more))
    return costs
