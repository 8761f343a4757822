"""What must hold between the fields of a configuration; one function a subject, each problem with its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError
from nin_exp.records.objective import direction_of

_EVALUATED = ("test/", "val/")
"""Splits whose metrics a verdict may use."""


def rule_violations(config: ExperimentConfig, *, may_be_wrong: bool = False) -> list[str]:
    """List what is wrong between fields, each as one sentence with the remedy.

    Args:
        may_be_wrong: whether fields may have a wrong type, which is told elsewhere; a rule that stumbles over one
            says nothing.
    """
    problems: list[str] = []
    for rule in _RULES:
        try:
            problems += rule(config)
        except (TypeError, AttributeError, KeyError):
            if not may_be_wrong:
                raise
    return problems


def _names(config: ExperimentConfig) -> Iterator[str]:
    if config.study is not None and not _is_folder_name(config.study):
        yield (
            "study must be a plain folder name of at most 120 bytes (no /, no leading dot or dash), "
            f"got '{config.study}'"
        )
    if not config.runs_dir.strip():
        yield "runs_dir must be a folder's path, got ''; use . for this one"


def _verdict(config: ExperimentConfig) -> Iterator[str]:
    metric = config.compare.metric
    try:
        direction = direction_of(metric)
    except ConfigError as error:
        yield f"compare.metric: {error}"
        return
    if not metric.startswith(_EVALUATED) or direction != "maximize":
        yield f"compare.metric must be an accuracy of val or test, of which more is better, got '{metric}'"


def _seeds(config: ExperimentConfig) -> Iterator[str]:
    if isinstance(config.seeds, list) and len(set(config.seeds)) != len(config.seeds):
        yield f"seeds must differ from each other, got {config.seeds}"
    if config.seeds == []:
        yield "seeds must hold at least one seed, got []"


def _batches(config: ExperimentConfig) -> Iterator[str]:
    trainer = config.trainer
    if trainer.precision == "16-mixed" and trainer.accelerator == "cpu":
        yield "trainer.precision=16-mixed needs a GPU, got trainer.accelerator=cpu; use precision=32"
    if trainer.accumulate > trainer.batch_size:
        yield (
            f"trainer.accumulate must be at most trainer.batch_size ({trainer.batch_size}), got {trainer.accumulate}; "
            "it splits each batch"
        )
    if trainer.limit_batches is not None and trainer.overfit_batches is not None:
        yield (
            "trainer.limit_batches must be null with trainer.overfit_batches, "
            f"got {trainer.limit_batches} and {trainer.overfit_batches}; set one of them"
        )


def _devices(config: ExperimentConfig) -> Iterator[str]:
    """What several devices in one job cannot do; docs/distributed.md."""
    trainer = config.trainer
    if trainer.devices <= 1:
        return
    several = f"with trainer.devices={trainer.devices}"
    if config.engine == "numpy":
        yield f"engine must be torch {several}, got numpy; use trainer.devices=1"
    if trainer.compile:
        yield f"trainer.compile must be false {several}, got true; use one of the two"
    if trainer.batch_size < trainer.devices:
        yield (
            f"trainer.batch_size must be at least trainer.devices ({trainer.devices}), got {trainer.batch_size}; "
            "it is the global batch, of which each device gets a part"
        )


def _published(config: ExperimentConfig) -> Iterator[str]:
    if config.published is None:
        return
    names, given = ("metric", "value", "source"), config.published
    if set(given) != set(names):
        yield f"published must have the keys {', '.join(names)}, got {', '.join(map(str, given))}; or null"
        return
    metric, value, source = (given[name] for name in names)
    values = list(value.values()) if isinstance(value, dict) else [value]
    are_numbers = bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not are_numbers:
        yield f"published.value must be a number, or one for each arm, got {value!r}"
    if not isinstance(metric, str) or not metric.startswith(_EVALUATED):
        yield f"published.metric must name a split, such as test/acc, got {metric!r}"
    elif metric.endswith("/acc") and are_numbers and not all(0 <= v <= 1 for v in values):
        yield f"published.value must be an accuracy in [0, 1], got {value!r}; divide percents by 100"
    if not isinstance(source, str):
        yield f"published.source must be a string, got {source!r}"


def _numpy_engine(config: ExperimentConfig) -> Iterator[str]:
    """What engine=numpy cannot do; layers are known when a network is built."""
    if config.engine != "numpy":
        return
    trainer = config.trainer
    settings = [
        ("precision", "32", trainer.precision, trainer.precision == "32"),
        ("accumulate", "1", trainer.accumulate, trainer.accumulate == 1),
        ("ema_decay", "null", trainer.ema_decay, trainer.ema_decay is None),
        ("compile", "false", "true", not trainer.compile),
        ("profile", "false", "true", not trainer.profile),
    ]
    for key, only, value, holds in settings:
        if not holds:
            yield f"trainer.{key} must be {only} with engine=numpy, got {value}; set it so, or use engine=torch"
    if trainer.accelerator == "gpu":
        yield "trainer.accelerator must be auto or cpu with engine=numpy, got gpu; NumPy computes on the CPU"
    if config.optimizer["_target_"] in ("nin_exp.optim.muon.Muon", "nin_exp.optim.rmsprop.RMSprop"):
        name = config.choices.get("optimizer", config.optimizer["_target_"])
        yield f"optimizer must be sgd, adam or adamw with engine=numpy, got {name}; choose one of them"
    if config.backbone["_target_"] == "nin_exp.backbones.timm.Timm":
        yield "backbone must be one of nin-exp's own with engine=numpy, got timm; choose another, or use engine=torch"


def _is_folder_name(name: str) -> bool:
    plain = all(c.isprintable() and c not in '/\\:*?"<>|' for c in name)
    return bool(name) and plain and name[0] not in ".-" and len(name.encode()) <= 120 and name == name.strip()


_RULES: tuple[Callable[[ExperimentConfig], Iterator[str]], ...] = (
    _batches,
    _names,
    _verdict,
    _seeds,
    _devices,
    _published,
    _numpy_engine,
)
