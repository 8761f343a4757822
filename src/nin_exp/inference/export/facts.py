"""What an exported file tells of its run: class names, configuration, preparation, metrics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import nin_exp
from nin_exp.inference.exported import SCHEMA_KEY, SCHEMA_VERSION
from nin_exp.inference.input_spec import INPUT_FILE
from nin_exp.records.redact import redact_text

if TYPE_CHECKING:
    from nin_exp.inference.run import TrainedRun


def run_facts(run: TrainedRun) -> dict[str, str]:
    """Text by key, as all formats can hold it; what is no text is JSON. The same run always gives the same facts."""
    record = run.record
    facts = {
        SCHEMA_KEY: str(SCHEMA_VERSION),
        "nin_exp_version": nin_exp.__version__,
        "job_id": record.job_id,
        "config_hash": record.config_hash,
        "dataset": record.dataset,
        "backbone": record.backbone,
        "head": record.head,
        "weights": run.weights,
        "class_names": json.dumps(list(run.class_names), ensure_ascii=False),
        "input": (run.path / INPUT_FILE).read_text(encoding="utf-8"),
        "config": (run.path / "config.yaml").read_text(encoding="utf-8"),
        "metrics": json.dumps(record.metrics if run.weights == "selected" else {}),
        "command": redact_text(record.command),
    }
    return {key: value.strip() for key, value in facts.items()}
