"""The fixed part of a configuration: its fields with their types, ranges and cross-field rules.

The defaults stand in ``conf/``. The open parts (data set, backbone, head, optimizer, schedule, augmentation,
loggers) stay mappings here; ``compose`` checks them against the signature of the class they name.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, fields, is_dataclass
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
    threads: PositiveInt | None
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
    """

    by: list[str] | str | None
    baseline: str | None
    metric: str
    rope: NonNegativeFloat
    alpha: OpenFraction
    default_seeds: PositiveInt
    max_seeds: Annotated[int, Range(ge=6)]  # no look before six pairs decides


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
    seeds: PositiveInt | list[NonNegativeInt] | None
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


def _build(kind: Any, values: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
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


def rule_violations(config: ExperimentConfig) -> list[str]:
    """List what is wrong between fields, each as one sentence with the remedy."""
    problems = []
    trainer = config.trainer
    if trainer.precision == "16-mixed" and trainer.accelerator == "cpu":
        problems.append("trainer.precision=16-mixed needs a GPU, got trainer.accelerator=cpu; use precision=32")
    if trainer.accumulate > trainer.batch_size:
        problems.append(
            f"trainer.accumulate must be at most trainer.batch_size ({trainer.batch_size}), got {trainer.accumulate}; "
            "it splits each batch"
        )
    if trainer.limit_batches is not None and trainer.overfit_batches is not None:
        problems.append(
            "trainer.limit_batches must be null with trainer.overfit_batches, "
            f"got {trainer.limit_batches} and {trainer.overfit_batches}; set one of them"
        )
    if config.study is not None and not _is_folder_name(config.study):
        problems.append(
            "study must be a plain folder name of at most 120 bytes (no /, no leading dot or dash), "
            f"got '{config.study}'"
        )
    if not config.compare.metric.startswith(("test/", "val/")):
        problems.append(f"compare.metric must name a split, such as test/acc, got '{config.compare.metric}'")
    if isinstance(config.seeds, list) and len(set(config.seeds)) != len(config.seeds):
        problems.append(f"seeds must differ from each other, got {config.seeds}")
    if isinstance(config.seeds, list) and not config.seeds:
        problems.append("seeds must hold at least one seed, got []")
    problems += _devices_violations(config) if trainer.devices > 1 else []
    problems += _published_violations(config.published)
    return problems + (_numpy_violations(config) if config.engine == "numpy" else [])


def _published_violations(published: dict[str, Any] | None) -> list[str]:
    if published is None:
        return []
    names = ("metric", "value", "source")
    if set(published) != set(names):
        return [f"published must have the keys {', '.join(names)}, got {', '.join(map(str, published))}; or null"]
    value = published["value"]
    values = list(value.values()) if isinstance(value, dict) else [value]
    problems = []
    if not values or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        problems.append(f"published.value must be a number, or one for each arm, got {value!r}")
    metric = published["metric"]
    if not isinstance(metric, str) or not metric.startswith(("test/", "val/")):
        problems.append(f"published.metric must name a split, such as test/acc, got {metric!r}")
    elif metric.endswith("/acc") and not problems and not all(0 <= v <= 1 for v in values):
        problems.append(f"published.value must be an accuracy in [0, 1], got {value!r}; divide percents by 100")
    if not isinstance(published["source"], str):
        problems.append(f"published.source must be a string, got {published['source']!r}")
    return problems


def _devices_violations(config: ExperimentConfig) -> list[str]:
    """What several devices in one job cannot do; docs/distributed.md."""
    trainer = config.trainer
    several = f"with trainer.devices={trainer.devices}"
    problems = []
    if config.engine == "numpy":
        problems.append(f"engine must be torch {several}, got numpy; use trainer.devices=1")
    if trainer.compile:
        problems.append(f"trainer.compile must be false {several}, got true; use one of the two")
    if trainer.batch_size < trainer.devices:
        problems.append(
            f"trainer.batch_size must be at least trainer.devices ({trainer.devices}), got {trainer.batch_size}; "
            "it is the global batch, of which each device gets a part"
        )
    return problems


def _numpy_violations(config: ExperimentConfig) -> list[str]:
    """What engine=numpy cannot do; layers are known when a network is built."""
    trainer = config.trainer
    settings = [
        ("precision", "32", trainer.precision, trainer.precision == "32"),
        ("accumulate", "1", trainer.accumulate, trainer.accumulate == 1),
        ("ema_decay", "null", trainer.ema_decay, trainer.ema_decay is None),
        ("compile", "false", "true", not trainer.compile),
        ("profile", "false", "true", not trainer.profile),
    ]
    problems = [
        f"trainer.{key} must be {only} with engine=numpy, got {value}; set it so, or use engine=torch"
        for key, only, value, holds in settings
        if not holds
    ]
    if trainer.accelerator == "gpu":
        problems.append("trainer.accelerator must be auto or cpu with engine=numpy, got gpu; NumPy computes on the CPU")
    if config.optimizer["_target_"] in ("nin_exp.optim.muon.Muon", "nin_exp.optim.rmsprop.RMSprop"):
        name = config.choices.get("optimizer", config.optimizer["_target_"])
        problems.append(f"optimizer must be sgd, adam or adamw with engine=numpy, got {name}; choose one of them")
    if config.backbone["_target_"] == "nin_exp.backbones.timm.Timm":
        problems.append(
            "backbone must be one of nin-exp's own with engine=numpy, got timm; choose another, or use engine=torch"
        )
    return problems


def _is_folder_name(name: str) -> bool:
    plain = all(c.isprintable() and c not in '/\\:*?"<>|' for c in name)
    return bool(name) and plain and name[0] not in ".-" and len(name.encode()) <= 120 and name == name.strip()


__all__ = ["OPEN_GROUPS", "ExperimentConfig", "Node", "rule_violations"]
