"""Every preset trains two steps on a few real images, and each debug preset does what it says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nin_exp.compose.composer import Composer
from nin_exp.plan.expand import plan_single
from nin_exp.records.record import Record
from nin_exp.train.run import train

pytestmark = pytest.mark.slow
SourceOf = Callable[[str], list[str]]

SHORT = [
    "trainer.accelerator=cpu", "trainer.max_steps=2", "trainer.batch_size=8", "trainer.eval_batch_size=16",
    "trainer.limit_batches=2", "checkpoint.keep=none", "evaluation.panel=4",
]  # fmt: skip
# 224x224 images and wide layers take too long here; their true sizes are built in test_preset_composition
SMALLER = {
    "seed/zoo_vgg": ["dataset.image_size=32", "backbone.width=0.25", "head.hidden=[64,64]"],
    "seed/zoo_alexnet": ["dataset.image_size=96", "backbone.width=0.25", "head.hidden=[64,64]"],
    "seed/zoo_nin": ["dataset.image_size=96"],
    "seed/zoo_googlenet": ["dataset.image_size=96"],
    "seed/zoo_resnet": ["dataset.image_size=96"],
    "seed/flowers": ["dataset.image_size=96"],
}
# whitening 32x32 images means the eigenvectors of 3,072 pixels
WHITENED = ["dataset.image_size=16"]


def run(composer: Composer, folder: Path, *texts: str) -> tuple[Record, Path]:
    (job,) = plan_single(composer, [*texts, f"runs_dir={folder}"], "test").jobs
    return train(job, threads=1), job.run_dir


def test_two_steps_of_each_preset(composer: Composer, any_preset: str, small_source: SourceOf, tmp_path: Path) -> None:
    base = composer.compose([("experiment", any_preset)])
    smaller = SMALLER.get(any_preset, WHITENED if base.dataset["preprocess"] == "gcn_zca" else [])
    source = small_source(base.choices["dataset"])
    record, run_dir = run(composer, tmp_path, f"experiment={any_preset}", *SHORT, *smaller, *source)
    assert record.status == "done"
    assert record.steps == 2
    rows = list(csv.DictReader((run_dir / "metrics.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 1
    assert 0 < float(rows[0]["train/loss"]) < 100
    assert {"val/acc", "test/acc", "test/nll"} <= set(record.metrics)
    assert record.params_total is not None
    assert record.params_total > 0


def test_coarse_labels_of_real_images(composer: Composer, small_source: SourceOf, tmp_path: Path) -> None:
    words = ["dataset=cifar100", "dataset.labels=coarse", "backbone=nin_bn", "backbone.width=0.1", *SHORT]
    record, run_dir = run(composer, tmp_path, *words, *small_source("cifar100"))
    assert (record.status, record.steps) == ("done", 2)
    names = json.loads((run_dir / "input.json").read_text(encoding="utf-8"))["class_names"]
    assert (len(names), names[0]) == (20, "aquatic_mammals")


def test_debug_presets_end_soon(composer: Composer, any_debug: str, tmp_path: Path) -> None:
    small = ["backbone=nin_bn", "backbone.width=0.1", "trainer.accelerator=cpu", "trainer.batch_size=16"]
    record, run_dir = run(composer, tmp_path, f"debug={any_debug}", *small)
    assert record.status == "done"
    if any_debug == "fast":
        assert record.steps == 3
    if any_debug == "limit":
        assert (record.steps, record.epochs) == (10, 2)
    if any_debug == "overfit":
        rows = list(csv.DictReader((run_dir / "metrics.csv").read_text(encoding="utf-8").splitlines()))
        assert float(rows[-1]["val/acc"]) == 1.0, "the same images, without dropout"
        assert float(rows[-1]["train/acc"]) == 1.0
    if any_debug == "profile":
        assert json.loads((run_dir / "profile" / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
        assert "conv" in (run_dir / "profile" / "table.txt").read_text(encoding="utf-8")
    assert ("limited" in record.flags) is (any_debug != "fast")
