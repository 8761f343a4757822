"""The fixed part of a configuration: its fields with their types and ranges.

The defaults stand in ``conf/``, the rules between fields in ``compose.rules``. The open parts (data set, backbone,
head, optimizer, schedule, augmentation, loggers) stay mappings here; ``compose`` checks them against the signature of
the class they name.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal

from nin_exp.ranges import (
    DropRate,
    NonNegativeFloat,
    NonNegativeInt,
    OpenFraction,
    PositiveFloat,
    PositiveInt,
    Range,
)

Node = dict[str, Any]
"""An open part: ``_target_`` and its arguments."""

SeedCount = Annotated[int, Range(ge=1, le=10_000)]

OPEN_GROUPS = ("dataset", "backbone", "head", "optimizer", "schedule", "augment")
"""Open parts that decide what is trained; ``executor`` is open as well, and decides where."""


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How a run trains; one file a choice in ``conf/trainer``."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: PositiveInt
    max_epochs: NonNegativeInt
    max_steps: PositiveInt | None
    batch_size: PositiveInt
    eval_batch_size: PositiveInt
    precision: Literal["32", "bf16-mixed", "16-mixed"]
    channels_last: bool
    threads: Annotated[int, Range(ge=1, le=1024)] | None
    select: Literal["best", "last"]
    patience: PositiveInt | None
    label_smoothing: DropRate
    clip_norm: PositiveFloat | None
    deterministic: bool
    tf32: bool
    cudnn_benchmark: bool
    accumulate: PositiveInt
    ema_decay: OpenFraction | None
    compile: bool
    stop_above: OpenFraction | None
    limit_batches: PositiveInt | None
    overfit_batches: PositiveInt | None
    profile: bool


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """How weights start; biases start at zero."""

    scheme: Literal["kaiming", "xavier", "orthogonal", "gaussian", "torch"]
    std: PositiveFloat


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Which weights stay after a run, and how often a run can be continued from."""

    keep: Literal["best", "last", "both", "none"]
    every_epochs: PositiveInt


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is measured and kept of a trained run. All of it names the run: one measured less is another."""

    level: Literal["validation", "basic", "full"]
    panel: NonNegativeInt
    full_images: PositiveInt
    target_acc: OpenFraction | None


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """What a preset or a named sweep goes over; the same key on the command line replaces it.

    Args:
        params: key to values in Hydra's sweep syntax.
        zip: lists of swept keys that advance together.
        exclude: lists of ``key=value``; a job that fits all of one list is left out.
    """

    params: dict[str, str]
    zip: list[list[str]]
    exclude: list[list[str]]


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """What a comparison asks, and how sure it wants to be.

    Args:
        max_seeds: with ``--until-decided``, pairs at which a contrast ends undecided; fixed at the first look.
        expected_sd: of the paired differences, in the metric's unit; what a dry run plans with before pairs have run.
    """

    by: list[str] | str | None
    baseline: str | None
    metric: str
    rope: NonNegativeFloat
    alpha: OpenFraction
    default_seeds: PositiveInt
    max_seeds: Annotated[int, Range(ge=6)]  # no look before six pairs decides
    expected_sd: PositiveFloat | None


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """How a space is searched; every arm of a comparison gets the same budget.

    Args:
        trials: of each arm.
        objectives: metrics of the validation or training split, or costs of a record such as ``params_total``.
        startup_trials: drawn at random before the sampler learns, and run to the end before the pruner prunes.
        warmup_epochs: no trial is pruned before it.
        reduction_factor: of asha and hyperband: one trial in so many goes on.
        p_threshold: of wilcoxon: a trial is pruned when it is worse than the best one over the seeds so far.
        storage: an RDB URL of Optuna's; None for SQLite in the study's folder.
    """

    trials: PositiveInt
    objectives: list[str]
    sampler: Literal["tpe", "random", "grid", "cmaes", "gp"]
    sampler_seed: NonNegativeInt
    startup_trials: NonNegativeInt
    pruner: Literal["none", "median", "asha", "hyperband", "wilcoxon"]
    warmup_epochs: PositiveInt
    reduction_factor: Annotated[int, Range(ge=2)]
    p_threshold: OpenFraction
    storage: str | None


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """One resolved configuration: everything that a job needs."""

    engine: Literal["torch", "numpy"]
    study: str | None
    runs_dir: str
    data_dir: str | None
    seed: NonNegativeInt
    seeds: SeedCount | list[NonNegativeInt] | None
    split_seed: NonNegativeInt
    init_seed: NonNegativeInt
    order_seed: NonNegativeInt
    augment_seed: NonNegativeInt
    dataset: Node
    backbone: Node
    head: Node
    optimizer: Node
    schedule: Node
    augment: Node
    init: InitConfig
    trainer: TrainerConfig
    checkpoint: CheckpointConfig
    evaluation: EvaluationConfig
    sweep: SweepConfig
    compare: CompareConfig
    published: dict[str, Any] | None  # metric, value (a number, or one an arm) and source; shown beside the runs
    tune: TuneConfig
    logger: dict[str, Any]
    executor: Node
    choices: dict[str, Any]  # the option chosen in each group, added by compose

    @staticmethod
    def from_dict(values: dict[str, Any]) -> ExperimentConfig:
        """Build from a resolved mapping whose types were checked by ``compose``."""
        built: ExperimentConfig = _build(ExperimentConfig, values)
        return built


@cache
def field_types(section: Any) -> dict[str, Any]:
    """Types of a section's fields, with their ranges; to work them out takes longer than to check a configuration."""
    return typing.get_type_hints(section, include_extras=True)


def _build(kind: Any, values: dict[str, Any]) -> Any:
    hints = field_types(kind)
    arguments = {}
    for field in fields(kind):
        value = values[field.name]
        arguments[field.name] = _build(hints[field.name], value) if is_dataclass(hints[field.name]) else value
    return kind(**arguments)


# What does not change a run's result, and therefore not its name. `dataset.source` is a copy of a named data set;
# data sets that are nothing but their source keep it (see compose.identity).
VOLATILE_KEYS = (
    "study",
    "runs_dir",
    "data_dir",
    "seeds",
    "sweep",
    "compare",
    "published",
    "tune",
    "logger",
    "executor",
    "checkpoint",
    "choices",
)
VOLATILE_TRAINER_KEYS = ("threads",)
