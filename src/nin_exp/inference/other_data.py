"""Which data a run is evaluated on: its own, its own from elsewhere, or another data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import yaml

from nin_exp.compose.check import checked_config
from nin_exp.compose.overrides import Setting, parse_overrides
from nin_exp.config import ExperimentConfig, Node
from nin_exp.contracts.data import ImageSpec
from nin_exp.errors import ConfigError

if TYPE_CHECKING:
    from nin_exp.compose.composer import Composer


@dataclass(frozen=True)
class DataChoice:
    """A data set to evaluate on.

    Args:
        name: the option's name.
        node: ``_target_`` and arguments.
        is_other: whether it was chosen with ``dataset=``; else it is the run's own.
        overrides: as typed.
    """

    name: str
    node: Node
    data_dir: str | None
    is_other: bool
    overrides: tuple[str, ...]
    allowed_packages: tuple[str, ...]


def choose_data(config: ExperimentConfig, spec: ImageSpec, overrides: Sequence[str], composer: Composer) -> DataChoice:
    """The run's own data set, or that of ``dataset=NAME``; with ``dataset.KEY=VALUE`` and ``data_dir=PATH`` set.

    Another data set is read at the run's image size, and normalised by the run's mean and deviation.

    Raises:
        ConfigError: an override is of something else than data, or wrong.
    """
    settings = parse_overrides(overrides, composer.groups)
    for setting in settings:
        if setting.swept:
            raise ConfigError(f"{setting} must be one value; evaluate reads one data set")
        if setting.key not in ("dataset", "data_dir") and not setting.key.startswith("dataset."):
            raise ConfigError(f"{setting} must set data (dataset=, dataset.KEY=, data_dir=); the run's rest is trained")
    is_other = any(setting.key == "dataset" for setting in settings)
    changed = _composed(settings, spec, composer) if is_other else _own(config, settings, composer.allowed_packages)
    data_dir = changed.data_dir if any(s.key == "data_dir" for s in settings) else config.data_dir
    name = changed.choices.get("dataset", "") if is_other else config.choices.get("dataset", "")
    return DataChoice(name, changed.dataset, data_dir, is_other, tuple(overrides), composer.allowed_packages)


def _composed(settings: list[Setting], spec: ImageSpec, composer: Composer) -> ExperimentConfig:
    assignments = [(s.key, s.values[0]) for s in settings]
    typed = {s.key for s in settings}
    if spec.height == spec.width and "dataset.image_size" not in typed:
        assignments.append(("dataset.image_size", str(spec.height)))
    return composer.compose(assignments)


def _own(config: ExperimentConfig, settings: list[Setting], allowed_packages: tuple[str, ...]) -> ExperimentConfig:
    """The run's configuration with data keys set; what is not set stays as the run has it."""
    values: dict[str, Any] = asdict(config)
    values["logger"] = {}
    for setting in settings:
        value = yaml.safe_load(setting.values[0])
        first, _, key = setting.key.partition(".")
        if key:
            values[first] = {**values[first], key: value}
        else:
            values[first] = value
    return checked_config(values, allowed_packages)
