"""What planning costs: seconds and memory of a dry run, from ten jobs to thousands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nin_exp.bench.command import run_nin_exp


@dataclass(frozen=True)
class PlanCost:
    """A dry run as a whole process."""

    jobs: int
    seconds: float
    peak_bytes: int

    def __str__(self) -> str:
        return f"planning {self.jobs} jobs: {self.seconds:.2f} s, {self.peak_bytes / 2**20:.0f} MiB"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure_plans(folder: Path, *, sizes: tuple[int, ...]) -> list[PlanCost]:
    """Dry runs of two heads, five data sets and as many seeds as each size needs."""
    costs = []
    for size in sizes:
        ended = run_nin_exp(
            "compare", "--dry-run", "head=gap,fc", "dataset=digits,mnist,fashion_mnist,cifar10,svhn",
            f"seeds={max(1, size // 10)}", f"runs_dir={folder / 'runs'}", folder=folder,
        )  # fmt: skip
        costs.append(PlanCost(max(1, size // 10) * 10, ended.seconds, ended.peak_bytes))
    return costs
