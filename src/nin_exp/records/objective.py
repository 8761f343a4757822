"""What can be asked of a run: metrics and costs, and whether more or less of each is better."""

from __future__ import annotations

import math
from typing import Literal

from nin_exp.errors import ConfigError, nearest
from nin_exp.records.record import Record

Direction = Literal["maximize", "minimize"]
_METRICS: dict[str, Direction] = {
    "acc": "maximize",
    "loss": "minimize",
    "nll": "minimize",
    "brier": "minimize",
    "ece": "minimize",
    "epochs_to_target": "minimize",
}
COSTS: dict[str, Direction] = {
    "params_total": "minimize",
    "params_head": "minimize",
    "macs": "minimize",
    "wall_seconds": "minimize",
    "peak_memory_bytes": "minimize",
    "images_per_second": "maximize",
}
_BEFORE_TEST = ("train", "train_eval", "val")
_SPLITS = (*_BEFORE_TEST, "test")


def direction_of(name: str) -> Direction:
    """Whether more or less of a metric (``val/acc``) or of a cost (``params_total``) is better.

    Raises:
        ConfigError: it is neither; names the nearest.
    """
    if name in COSTS:
        return COSTS[name]
    split, _, metric = name.rpartition("/")
    plain = metric.removesuffix("_scaled")
    if plain not in _METRICS or split.split("/")[0] not in _SPLITS:
        hint = nearest(name, [*(f"{s}/{m}" for s in _SPLITS for m in _METRICS), *COSTS])
        shown = hint if "Did" in hint else ""
        raise ConfigError(f"'{name}' is not a metric such as val/acc, nor a cost such as params_total.{shown}")
    return _METRICS[plain]


def needs_test(name: str) -> bool:
    """Whether a metric was measured on test images."""
    return name not in COSTS and name.partition("/")[0] not in _BEFORE_TEST


def value_of(record: Record, name: str) -> float | None:
    """A metric or cost of a run; None when it was not measured or is not finite."""
    found = getattr(record, name) if name in COSTS else record.metrics.get(name)
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None
