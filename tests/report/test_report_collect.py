import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nin_exp.errors import ConfigError, IntegrityError
from nin_exp.records.record import Record
from nin_exp.records.study import PlannedJob, Study
from nin_exp.report.analysis import analyse
from nin_exp.report.collect import load_study, read_config, read_curve
from nin_exp.report.merge import merge_studies

Writer = Callable[..., Path]


def test_states(study_writer: Writer, tmp_path: Path) -> None:
    def edit(record: Record) -> Record | None:
        match record.seed:
            case 1:
                return replace(record, status="failed", error="boom")
            case 2:
                return replace(record, status="diverged", metrics={})
            case 3:
                return None
        return record

    study_dir = study_writer(tmp_path / "s", blocks=("mnist",), seeds=7, edit=edit)
    (study_dir / "job00004" / "record.json").unlink()
    (study_dir / "job00005" / "record.json").write_text("{ half")
    (study_dir / "job00006" / "record.json").write_text(
        (study_dir / "job00000" / "record.json").read_text().replace('"metrics": {', '"metrics": [], "x": {')
    )
    runs = [run for run in load_study(study_dir).runs if run.job.arm == "gap"]
    assert [run.state for run in runs] == [
        "done",
        "failed",
        "diverged",
        "not_started",
        "unfinished",
        "unreadable",
        "unreadable",
    ]
    assert runs[1].problem == "boom"
    assert "must be a run's record" in str(runs[5].problem)
    assert "metrics has the wrong type" in str(runs[6].problem)
    analyse(load_study(study_dir))


def test_no_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must hold study.json, got .*; give a folder such as runs/<study>"):
        load_study(tmp_path)


@pytest.mark.parametrize("job_id", ["../elsewhere", "/etc", "..", ""])
def test_jobs_stay_inside_the_study(tmp_path: Path, job_id: str) -> None:
    Study("s", "train", "", "", (PlannedJob(job_id, "", "", 0),)).write(tmp_path)
    with pytest.raises(IntegrityError, match=r"job_id in study\.json must be a plain folder name"):
        load_study(tmp_path)


def test_null_metrics_are_no_scores(study_writer: Writer, tmp_path: Path) -> None:
    study_dir = study_writer(
        tmp_path / "s", blocks=("mnist",), seeds=1, edit=lambda r: replace(r, metrics={"test/acc": float("nan")})
    )
    assert [run.score("test/acc") for run in load_study(study_dir).runs] == [None, None]


def test_curve_of_a_killed_and_resumed_run(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,val/acc,lr\n0,0.5,0.1\n1,0.6,0.1\n1,0.65,0.1\n2,nan,0.1\n3,0.7")
    curve = read_curve(path)
    assert curve is not None
    assert curve.epochs.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(curve.values["val/acc"], [0.5, 0.65, np.nan])


@pytest.mark.parametrize("text", ["", "epoch,val/acc\n", "a,b\n1,2\n", "\0\0\0", "epoch\nx\n"])
def test_no_curve(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    assert read_curve(tmp_path / "metrics.csv") is None
    assert read_curve(tmp_path / "missing.csv") is None


def test_config_is_flat(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a:\n  b: 1\n  c: [1, 2]\n  d: null\n  e: true\nf: []\ng:\n- x: 1\n- 2\n")
    assert read_config(path) == {
        "a.b": "1",
        "a.c": "[1, 2]",
        "a.d": "null",
        "a.e": "true",
        "f": "[]",
        "g[0].x": "1",
        "g[1]": "2",
    }


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.parametrize("text", [LAUGHS, "&a [*a]", "{" * 5000, "!!python/object:os.system {}", "a: [", "\x00"])
def test_hostile_configs_are_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert read_config(tmp_path / "config.yaml") == {}


def test_torch_and_plotly_are_not_imported() -> None:
    heavy = ("torch", "plotly", "hydra", "omegaconf")
    code = f"import nin_exp.report.write, sys; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_merge_of_two_studies(study_writer: Writer, tmp_path: Path) -> None:
    one = study_writer(tmp_path / "one", blocks=("mnist",), seeds=8)
    two = study_writer(tmp_path / "two", blocks=("svhn",), seeds=6)
    for folder in sorted(two.glob("job*")):  # ids are hashes; the writer's are counters
        folder.rename(two / f"x{folder.name}")
    plan = Study.read(two)
    replace(plan, jobs=tuple(replace(job, job_id=f"x{job.job_id}") for job in plan.jobs)).write(two)
    merged = merge_studies([load_study(one), load_study(two), load_study(one)])
    analysis = analyse(merged)
    assert len(analysis.runs) == 28
    assert [(c.block, len(c.pairs), c.count("complete")) for c in analysis.contrasts] == [
        ("mnist", 8, 8),
        ("svhn", 6, 6),
    ]
    assert all(c.outcome.effect is not None and c.outcome.effect.n_contrasts == 2 for c in analysis.contrasts)


def test_merge_refuses_other_questions(study_writer: Writer, tmp_path: Path) -> None:
    one = load_study(study_writer(tmp_path / "one", seeds=2))
    other = load_study(study_writer(tmp_path / "other", seeds=2, rope=0.01))
    plain = load_study(study_writer(tmp_path / "plain", seeds=2, compare=False))
    with pytest.raises(ConfigError, match=r"must share compare.rope, got 0.002 in 'one' and 0.01 in 'other'"):
        merge_studies([one, other])
    with pytest.raises(ConfigError, match="must all be comparisons, or none"):
        merge_studies([one, plain])
    with pytest.raises(ConfigError, match="at least one study"):
        merge_studies([])
    assert merge_studies([plain, plain]).study.comparison is None
