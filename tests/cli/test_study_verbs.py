"""Verbs that look at finished runs: best, diff, cancel, report over several studies, train --from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nin_exp.cli.main import main
from nin_exp.compose.composer import Composer, to_yaml
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.executors.outcome import write_ending
from nin_exp.plan.expand import plan_grid
from nin_exp.records.record import Record

REPO = Path(__file__).resolve().parents[2]
ACCURACY = {("gap", 0): 0.90, ("gap", 1): 0.91, ("fc", 0): 0.95, ("fc", 1): 0.80}


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer((shipped_config_dir(),))


@pytest.fixture
def study(composer: Composer, in_tmp: Path) -> Path:
    """Two heads with two seeds: the best run is one of fc, the best mean that of gap. Nothing was trained."""
    plan = plan_grid(composer, ["head=gap,fc", "seeds=2", "study=s", "runs_dir=runs"], "nin-exp train -m head=gap,fc")
    for job in plan.jobs:
        accuracy = ACCURACY[job.config["choices"]["head"], job.seed]
        write_ending(job, "failed", 0, metrics={"val/acc": accuracy, "test/acc": 1 - accuracy})
        replace(Record.read(job.run_dir), status="done", params_total=10, code_hash="x").write(job.run_dir)
        (job.run_dir / "config.yaml").write_text(to_yaml(job.config))
        (job.run_dir / "start.json").write_text('{"threads": 3}')
    plan.study.write(plan.study_dir)
    return Path("runs/s")


def run_of(study: Path, head: str, seed: int) -> str:
    records = [Record.read(path.parent) for path in study.glob("*/record.json")]
    return next(r.job_id for r in records if (r.head, r.seed) == (head, seed))


def test_best_selects_on_validation(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["best", "s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["metric"], found["direction"], found["selected_on_test"]) == ("val/acc", "maximize", False)
    (best,) = found["best"]
    assert best["job_id"] == run_of(study, "fc", 0)
    assert best["value"] == 0.95
    assert best["configuration"]["choices"] == {"head": "gap"}
    assert best["configuration"]["mean"] == pytest.approx(0.905)
    assert main(["best"]) == 0
    text = capsys.readouterr().out
    assert "digits: val/acc 0.95, the best of 4 runs" in text
    assert "head=gap: mean 0.905" in text


def test_best_refuses_the_test_split(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["best", "--metric", "test/acc"]) == 2
    assert "use val/acc, or say --select-on-test" in capsys.readouterr().err
    assert main(["best", "--metric", "test/acc", "--select-on-test"]) == 0
    text = capsys.readouterr().out
    assert "test/acc 0.2, the best of 4 runs" in text
    assert "too good to be reported" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["best", "--metric", "val/ac"], "Did you mean 'val/acc'?"),
        (["best", "--metric", "val/nll"], "no run of runs/s is done and has val/nll"),
        (["best", "t"], "'t' is not a study"),
        (["diff", "zz", "zz"], "'zz' is not a run directory"),
        (["train", "--verify"], "name it with --from RUN"),
        (["train", "--limit", "0"], "must be an integer >= 1, got '0'"),
        (["report", "s", "--out", "x"], "--out is for a report over several studies"),
        (["compare", "--tuned", "s"], "which has none"),
    ],
)
def test_wrong_uses(study: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_diff_by_abbreviated_names(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = run_of(study, "gap", 0), run_of(study, "fc", 0)
    assert main(["diff", one[:8], two[:8], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"]["choices.head"] == ["gap", "fc"]
    assert "seed" not in found["config"]
    assert found["metrics"]["val/acc"] == [0.90, 0.95]
    assert main(["diff", one[:8], two[:8]]) == 0
    assert "+0.05" in capsys.readouterr().out


def plan_of(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    outline = json.loads(capsys.readouterr().out)
    (job,) = outline["jobs"]
    return {**job, "study": outline["study"]}


def test_a_run_is_the_same_job_again(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = run_of(study, "fc", 1)
    assert main(["train", "--from", name, "--dry-run", "--json"]) == 0
    found = plan_of(capsys)
    assert found["job_id"] == name
    assert Path(str(found["study"])).name == "repeat"


def test_a_run_with_changes_is_the_job_of_these_settings(
    study: Path, composer: Composer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The derived seeds follow the seed, and a group is chosen whole."""
    name = run_of(study, "gap", 0)
    changes = ["seed=5", "head=mlp", "optimizer.lr=0.3"]
    assert main(["train", "--from", name, *changes, "--dry-run", "--json"]) == 0
    assert plan_of(capsys)["job_id"] == plan_grid(composer, changes, "").jobs[0].job_id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["head=gap,fc"], "must be one value with --from"),
        (["optimizer.lrr=1"], "Did you mean"),
        (["experiment=quickstart"], "is a preset, which --from cannot put onto a finished run"),
        (["optimizer.lr=-1"], "optimizer.lr must lie in"),
        (["--verify", "seed=1"], "--verify repeats a run as it was"),
    ],
)
def test_wrong_changes(study: Path, capsys: pytest.CaptureFixture[str], changes: list[str], message: str) -> None:
    assert main(["train", "--from", run_of(study, "gap", 0), *changes, "--dry-run"]) == 2
    assert message in capsys.readouterr().err


def test_a_secret_must_be_given_again(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = run_of(study, "gap", 0)
    config = study / name / "config.yaml"
    config.write_text(config.read_text().replace("data_dir: null", "data_dir: '[redacted]'"))
    assert main(["train", "--from", name, "--dry-run"]) == 2
    assert "data_dir was a secret" in capsys.readouterr().err
    assert main(["train", "--from", name, "data_dir=x", "--dry-run"]) == 0


def test_looking_at_runs_imports_no_torch(study: Path) -> None:
    name = run_of(study, "gap", 0)
    commands = [["best"], ["diff", name, run_of(study, "fc", 0)], ["show", name], ["ls"], ["cancel"]]
    commands.append(["train", "--from", name, "--dry-run"])
    code = (
        "import sys, json; from nin_exp.cli.main import main\n"
        "for command in json.loads(sys.argv[1]): assert main(command) == 0, command\n"
        "heavy = [m for m in ('torch', 'torchvision', 'pytorch_lightning', 'optuna') if m in sys.modules]\n"
        "assert not heavy, heavy"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    arguments = [sys.executable, "-c", code, json.dumps(commands)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_run_is_verified_bit_by_bit(tmp_path: Path, nin_exp) -> None:  # type: ignore[no-untyped-def]
    tiny = ["dataset=digits", "backbone=nin_bn", "backbone.width=0.1", "trainer.max_epochs=1", "evaluation.panel=20"]
    assert nin_exp("train", *tiny, "study=v").returncode == 0
    (run_dir,) = [p.parent for p in (tmp_path / "runs" / "v").glob("*/record.json")]
    same = nin_exp("train", "--from", run_dir.name, "--verify")
    assert same.returncode == 0, same.stderr
    assert "weights of best.ckpt, weights of last.ckpt" in same.stdout
    (run_dir / "metrics.csv").write_text((run_dir / "metrics.csv").read_text().replace("0.", "1.", 1))
    other = nin_exp("train", "--from", run_dir.name, "--verify")
    assert other.returncode == 4
    assert "metrics.csv (rows differ)" in other.stderr
    assert other.stderr.count("\n") == 1
