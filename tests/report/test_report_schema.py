"""results.json against its schema, whatever became of the study."""

import importlib.resources
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nin_exp.records.record import Record
from nin_exp.records.study import ContrastLooks, Published, Study
from nin_exp.report.write import build_report

Writer = Callable[..., Path]
SCHEMA: dict[str, Any] = json.loads(
    importlib.resources.files("nin_exp.report").joinpath("results.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def document_of(study_dir: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(build_report(study_dir).json.read_text())
    VALIDATOR.validate(document)
    return document


def mixed(record: Record) -> Record | None:
    """Diverged, failed, missing and damaged runs beside whole ones."""
    if record.seed == 0 and record.arm == "fc":
        return replace(record, status="diverged", exit_code=7, error="loss is NaN", metrics={})
    if record.seed == 1:
        return replace(record, status="failed", exit_code=8, error="out of memory", metrics={}, params_total=None)
    if record.seed == 2 and record.arm == "gap":
        return None
    return replace(record, flags=("dead_head",), metrics={**record.metrics, "test/ece": float("nan")})


def test_the_schema_is_one_and_refuses_what_is_not_in_it() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["additionalProperties"] is False
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"])


@pytest.mark.parametrize(
    "settings",
    [
        {"arms": ("gap", "fc", "fc_dropout"), "seeds": 6},
        {"seeds": 1},
        {"seeds": 2, "noise": 0.0, "gains": {}},
        {"seeds": 7, "edit": mixed},
        {"seeds": 3, "edit": lambda record: None},
        {"seeds": 3, "compare": False},
        {"arms": ("gap",), "seeds": 3},
    ],
    ids=["whole", "one_seed", "identical", "mixed", "nothing_run", "grid", "one_arm"],
)
def test_every_kind_of_study_fits(study_writer: Writer, tmp_path: Path, settings: dict[str, Any]) -> None:
    assert document_of(study_writer(tmp_path / "s", **settings))["study"]["verb"] in ("compare", "train")


def test_predictions_looks_and_published_numbers_fit(example_writer: Writer, tmp_path: Path) -> None:
    study_dir = example_writer(tmp_path / "s", blocks=("mnist", "svhn"), seeds=8)
    study = Study.read(study_dir)
    assert study.comparison is not None
    looks = (ContrastLooks("fc", "mnist", 20, tuple(range(7)), (6, 7)), ContrastLooks("fc", "svhn", 20, (), ()))
    published = (Published("gap", "mnist", "test/acc", 0.99, "a paper", (), (study.jobs[0].job_id,)),)
    replace(study, comparison=replace(study.comparison, looks=looks), published=published).write(study_dir)
    document = document_of(study_dir)
    assert document["test_examples"][0]["sources"]["examples"]["low"] < 0
    assert document["contrasts"][0]["monitored"]["decision"]["look"]["n_pairs"] == 7
    assert document["contrasts"][1]["monitored"]["decision"] is None


def test_calibration_and_robustness_are_for_programs_too(example_writer: Writer, tmp_path: Path) -> None:
    def calibrated(record: Record) -> Record:
        return replace(record, metrics={**record.metrics, "test/ece": 0.01 * record.seed})

    study_dir = example_writer(tmp_path / "s", blocks=("mnist", "svhn"), seeds=3, edit=calibrated)
    document = document_of(study_dir)
    places = [(cell["arm"], cell["block"]) for cell in document["cells"]]
    assert [(one["arm"], one["block"]) for one in document["calibration"]] == places
    assert [(one["arm"], one["block"]) for one in document["robustness"]] == places
    assert document["calibration"][0]["metrics"]["ece"] == pytest.approx(
        {"n": 3, "mean": 0.01, "sd": 0.01, "lowest": 0.0, "highest": 0.02}
    )
    curve = document["robustness"][0]["curves"]["shift/acc"]
    measured = json.loads(next(study_dir.glob("*/evaluation.json")).read_text())["shift"]
    assert [point["x"] for point in curve] == measured["pixels"]
    assert [point["mean"] for point in curve] == pytest.approx(measured["acc"])


def test_one_seed_holds_no_interval_anywhere(example_writer: Writer, tmp_path: Path) -> None:
    study_dir = example_writer(tmp_path / "s", arms=("gap", "fc", "fc_dropout"), seeds=1)
    document = document_of(study_dir)

    def intervals(node: Any) -> list[Any]:
        if isinstance(node, list):
            return [found for part in node for found in intervals(part)]
        if not isinstance(node, dict):
            return []
        own = [node] if {"low", "high", "confidence"} <= node.keys() else []
        return [*own, *(found for part in node.values() for found in intervals(part))]

    assert len(document["test_examples"]) == 4
    assert intervals(document) == []


def test_hostile_texts_fit(study_of_payloads: Path) -> None:
    assert len(document_of(study_of_payloads)["contrasts"]) == 40
