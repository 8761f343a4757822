"""Study folders made of invented numbers, written with the project's own records."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nin_exp.records.record import Record
from nin_exp.records.study import Comparison, PlannedJob, Study

Edit = Callable[[Record], Record | None]
"""Changes the record of a job before it is written; None: the job has no record."""

BLOCK_MEANS = {"mnist": 0.99, "cifar10": 0.85, "svhn": 0.93, "cifar100": 0.55}
ARM_GAINS = {"gap": 0.0, "fc": -0.012, "fc_dropout": -0.002, "gmp_linear": 0.004}
ARM_HEADS = {"gap": 2_010, "fc": 64_650, "fc_dropout": 64_650, "gmp_linear": 1_930}


def keep(record: Record) -> Record:
    return record


def make_record(job: PlannedJob, study: str, score: float) -> Record:
    """A finished run as the training verb writes it."""
    dataset, head = job.block.partition(",")[0] or "digits", job.arm or "gap"
    params_head = ARM_HEADS.get(head, 2_010)
    return Record(
        job_id=job.job_id,
        study=study,
        status="done",
        exit_code=0,
        config_hash=job.job_id,
        seed=job.seed,
        dataset=dataset,
        backbone="nin",
        head=head,
        optimizer="sgd",
        arm=job.arm,
        block=job.block,
        metrics={
            "train/loss": 0.05,
            "train/acc": min(1.0, score + 0.02),
            "val/loss": 0.2,
            "val/acc": score + 0.001,
            "test/loss": 0.21,
            "test/acc": score,
            "test/nll": 0.21,
        },
        params_total=966_986 + params_head,
        params_head=params_head,
        macs=222_500_000 + params_head,
        images_per_second=1450.0 + 10 * job.seed,
        wall_seconds=412.0 + job.seed,
        peak_memory_bytes=1_650_000_000,
        started_at="2026-03-01T10:00:00+00:00",
        finished_at="2026-03-01T10:07:00+00:00",
        git={"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        versions={"python": "3.11.9", "torch": "2.9.1", "nin-exp": "0.1.0"},
        command=f"nin-exp train head={head} dataset={dataset} seed={job.seed}",
        seeds=dict.fromkeys(("split", "init", "order", "augment"), job.seed),
        data={
            "fingerprint": f"sha256:{dataset:0<12}",
            "files": [],
            "num_train": 54_000,
            "num_val": 6_000,
            "num_test": 10_000,
            "num_classes": 10,
            "chance": 0.1135,
        },
        code_hash=f"code-{head}",
        epochs=30,
        steps=30 * 422,
        best_epoch=27,
        device="cpu",
    )


def write_curve(run_dir: Path, record: Record, epochs: int, rng: np.random.Generator) -> None:
    final = record.metrics.get("val/acc", 0.5) or 0.5
    lines = ["epoch,train/loss,train/acc,val/loss,val/acc,lr"]
    for epoch in range(epochs):
        left = math.exp(-4 * (epoch + 1) / epochs)
        acc = final - (final - 0.1) * left + rng.normal(0, 0.004)
        loss = 0.03 + 2.2 * left + abs(rng.normal(0, 0.01))
        lines.append(f"{epoch},{loss:.6f},{acc:.6f},{loss + 0.1:.6f},{acc:.6f},{0.1 * left:.6g}")
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "metrics.csv").write_text("\n".join(lines) + "\n")


def write_config(run_dir: Path, record: Record) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.yaml").write_text(
        f"engine: torch\nseed: {record.seed}\nruns_dir: runs\n"
        f"dataset:\n  _target_: nin_exp.data.named.Named\n  batch_size: 128\n"
        f"head:\n  _target_: nin_exp.heads.{record.head}\n  relu: false\n"
        "optimizer:\n  _target_: nin_exp.optim.SGD\n  lr: 0.1\n  momentum: 0.9\n  weight_decay: 0.0005\n"
        "trainer:\n  max_epochs: 30\n  select: best\n  precision: '32'\n"
    )


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of small files: waiting for the disk is not what is tested here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def write_study(
    study_dir: Path,
    *,
    arms: Sequence[str] = ("gap", "fc"),
    blocks: Sequence[str] = ("mnist", "cifar10"),
    seeds: int = 8,
    gains: dict[str, float] | None = None,
    noise: float = 0.002,
    edit: Edit = keep,
    compare: bool = True,
    epochs: int = 30,
    rope: float = 0.002,
) -> Path:
    """Write a whole study; scores share a part over the arms of a pair, so that pairing pays."""
    rng = np.random.default_rng(12)
    gains = ARM_GAINS if gains is None else gains
    jobs = [
        PlannedJob(f"job{b}{a}{s:03d}", arm, block, s, {"head": arm, "dataset": block, "seed": str(s)})
        for b, block in enumerate(blocks)
        for s in range(seeds)
        for a, arm in enumerate(arms)
    ]
    comparison = Comparison(("head",), tuple(arms), tuple(blocks), tuple(range(seeds)), arms[0], "test/acc", rope, 0.05)
    command = f"nin-exp compare head={','.join(arms)} dataset={','.join(blocks)} seeds={seeds}"
    if not compare:
        jobs = [replace(job, arm="", block="") for job in jobs]
    study = Study(
        study_dir.name,
        "compare" if compare else "train",
        command,
        "2026-03-01T09:59:00+00:00",
        tuple(jobs),
        comparison if compare else None,
    )
    study.write(study_dir)
    shared = {(job.choices["dataset"], job.seed): rng.normal(0, noise) for job in jobs}
    for job in jobs:
        mean = BLOCK_MEANS.get(job.choices["dataset"].partition(",")[0], 0.9)
        gain = gains.get(job.choices["head"], 0.0)
        score = mean + gain + shared[job.choices["dataset"], job.seed] + rng.normal(0, noise / 2)
        made = make_record(job, study.name, round(min(1.0, score), 4))
        record = edit(replace(made, head=job.choices["head"], dataset=job.choices["dataset"].partition(",")[0]))
        if record is None:
            continue
        run_dir = study_dir / job.job_id
        write_curve(run_dir, record, epochs, rng)
        write_config(run_dir, record)
        record.write(run_dir)
    return study_dir


@pytest.fixture
def study_writer() -> Callable[..., Path]:
    """``write_study``, for tests: they cannot import it."""
    return write_study


PAYLOADS = (
    "<script>window.hit=1</script>",
    "<ScRiPt>window.hit=1</sCrIpT>",
    "</script><script>window.hit=1</script>",
    "</style><script>window.hit=1</script>",
    "</title><script>window.hit=1</script>",
    "</textarea><script>window.hit=1</script>",
    "--><script>window.hit=1</script><!--",
    "]]><script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    "<img src='https://evil.example/x.png'>",
    "<svg onload=window.hit=1>",
    "<svg><script>window.hit=1</script></svg>",
    "<svg><a xlink:href='javascript:window.hit=1'>x</a></svg>",
    "<math><mi xlink:href='javascript:window.hit=1'>x</mi></math>",
    "<a href='javascript:window.hit=1'>x</a>",
    "<a href='https://evil.example'>x</a>",
    '<a href="data:text/html,<script>window.hit=1</script>">x</a>',
    "<iframe src='javascript:window.hit=1'></iframe>",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<object data='javascript:window.hit=1'></object>",
    "<embed src='https://evil.example/x.swf'>",
    "<form action='https://evil.example'><input name=q><button>go</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href='https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<div style='background:url(https://evil.example/x)'>x</div>",
    "<body onload=window.hit=1>",
    "<details open ontoggle=window.hit=1>",
    "<video><source onerror=window.hit=1></video>",
    "<input autofocus onfocus=window.hit=1>",
    "<template><script>window.hit=1</script></template>",
    '" onmouseover="window.hit=1" x="',
    "' onfocus='window.hit=1' autofocus x='",
    "`${window.hit=1}`",
    "{{ 7 * 7 }}{% import 'os' %}",
    "%{customdata} %{x:<script>window.hit=1</script>}",
    "&lt;script&gt;window.hit=1&lt;/script&gt;",
    "&#60;img src=x onerror=window.hit=1&#62;",
    "\u2028<script>window.hit=1</script>\u202e\x00\x1b[2J",
)


def poison(record: Record, payload: str) -> Record:
    """Put a payload wherever a record holds text; it fails on seed 0 and is flagged."""
    has_failed = record.seed == 0
    return replace(
        record,
        status="failed" if has_failed else "done",
        error=f"{payload}\n{payload}" if has_failed else None,
        head=payload,
        backbone=payload,
        optimizer=payload,
        device=payload,
        command=payload,
        flags=(payload,),
        git={"commit": payload, payload: payload},
        versions={payload: payload},
        data={**record.data, "fingerprint": payload},
        metrics={**record.metrics, f"test/{payload}": 0.5},
        finished_at=payload,
        code_hash=payload,
    )


def write_poisoned_study(study_dir: Path, payload: str) -> Path:
    """A study whose names, errors, flags and configuration are all a payload."""
    gap, fc = "gap", f"fc {payload}"
    write_study(
        study_dir,
        arms=(gap, fc),
        blocks=(payload, f"mnist, note={payload}"),
        seeds=3,
        epochs=3,
        edit=lambda record: poison(record, payload) if record.arm == fc else record,
    )
    plan = Study.read(study_dir)
    replace(plan, name=payload, command=payload, created_at=payload).write(study_dir)
    for config in study_dir.glob("job*/config.yaml"):
        config.write_text(json.dumps({payload: payload, "optimizer": {"lr": payload}}))  # YAML holds JSON
    return study_dir


@pytest.fixture(params=PAYLOADS, ids=[f"payload{i}" for i in range(len(PAYLOADS))])
def payload(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def poisoned_study(tmp_path: Path, payload: str) -> Path:
    return write_poisoned_study(tmp_path / "poisoned", payload)


@pytest.fixture(scope="module")
def module_writer() -> Callable[..., Path]:
    return write_study


@pytest.fixture
def study_of_payloads(tmp_path: Path) -> Path:
    """One study with every payload as an arm, in its records and configuration."""
    study_dir = tmp_path / "payloads"
    arms = ("gap", *PAYLOADS)
    write_study(
        study_dir,
        arms=arms,
        blocks=("mnist",),
        seeds=2,
        epochs=3,
        edit=lambda record: poison(record, record.arm) if record.arm in PAYLOADS else record,
    )
    return study_dir


def add_examples(study_dir: Path, *, num_examples: int = 120, num_classes: int = 3, panel: int = 24) -> Path:
    """Add predictions, class maps, panels and measures of changed images to a study that was written.

    ``gap`` is right on all examples but every tenth; every other arm errs on another tenth too, so that the arms
    disagree on known images.
    """
    plan = Study.read(study_dir)
    rng = np.random.default_rng(3)
    labels = np.arange(num_examples) % num_classes
    for job in plan.jobs:
        run_dir = study_dir / job.job_id
        if not (run_dir / "record.json").is_file():
            continue
        record = Record.read(run_dir)
        fingerprint = f"{record.dataset.encode().hex():0<16}"[:16]
        names = [f"class {number}" for number in range(num_classes)]
        replace(record, data={**record.data, "fingerprint": fingerprint, "class_names": names}).write(run_dir)
        wrong = np.arange(num_examples) % 10 == 0
        if job.arm not in ("gap", ""):
            wrong |= np.arange(num_examples) % 10 == 5
        wrong ^= rng.random(num_examples) < 0.02
        answers = np.where(wrong, (labels + 1) % num_classes, labels)
        logits = rng.normal(0, 0.1, (num_examples, num_classes))
        logits[np.arange(num_examples), answers] += 2
        np.savez(run_dir / "predictions.npz", test_logits=logits.astype(np.float32), test_labels=labels)
        indices = np.arange(panel) * num_examples // panel
        maps = rng.normal(0, 1, (panel, num_classes, 4, 4)).astype(np.float16)
        np.savez(run_dir / "class_maps.npz", indices=indices, maps=maps, labels=labels[indices])
        panels = study_dir / "panels"
        panels.mkdir(exist_ok=True)
        images = np.random.default_rng(1).integers(0, 256, (panel, 12, 12, 1), dtype=np.uint8)
        np.savez(panels / f"{fingerprint}-0123.npz", images=images, indices=indices, labels=labels[indices])
        (run_dir / "evaluation.json").write_text(json.dumps(EVALUATION))
    return study_dir


EVALUATION = {
    "schema_version": 1,
    "num_images": 120,
    "shift": {"pixels": [0, 1, 2], "acc": [0.9, 0.8, 0.7], "consistency": [1.0, 0.9, 0.8]},
    "resize": {"side": [6, 12, 24], "acc": [None, 0.9, 0.6]},
    "corruptions": {"contrast": {"severity": [1, 3, 5], "acc": [0.85, 0.6, 0.3]}},
    "localisation": {"best": "cam", "cam": {"pointing_acc": 0.5, "box_energy": 0.4, "box_iou": 0.3}, "box_area": 0.2},
}


@pytest.fixture
def example_writer() -> Callable[..., Path]:
    """``write_study`` and then ``add_examples``."""

    def write(study_dir: Path, **settings: object) -> Path:
        return add_examples(write_study(study_dir, **settings))  # type: ignore[arg-type]

    return write


@pytest.fixture(scope="module")
def module_example_writer() -> Callable[..., Path]:
    def write(study_dir: Path, **settings: object) -> Path:
        return add_examples(write_study(study_dir, **settings))  # type: ignore[arg-type]

    return write
