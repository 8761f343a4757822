"""``import nin_exp``: configurations, training, comparisons and studies from Python, in any thread."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nin_exp
from nin_exp.api.command import run_verb
from nin_exp.api.configure import as_overrides
from nin_exp.errors import ConfigError, DataError, JobsFailedError, NinExpError

REPO = Path(__file__).resolve().parents[2]
TINY = ["dataset=digits", "backbone=nin_bn", "backbone.width=0.05", "trainer.max_steps=3", "trainer.threads=1"]


@pytest.fixture
def from_source(in_tmp, monkeypatch) -> Path:
    """An empty folder, in which processes find the package."""
    monkeypatch.setenv("PYTHONPATH", str(REPO / "src"))
    return in_tmp


def test_compose() -> None:
    config = nin_exp.compose(["head=fc", "optimizer.lr=0.01", "seed=3"])
    assert config.choices["head"] == "fc"
    assert (config.optimizer["lr"], config.split_seed) == (0.01, 3)
    with pytest.raises(ConfigError, match=r"Did you mean 'optimizer\.lr'"):
        nin_exp.compose(["optimizer.lrr=0.01"])
    with pytest.raises(ConfigError, match=r"head=gap,fc is a list of runs; .*nin_exp\.compare takes lists"):
        nin_exp.compose(["head=gap,fc"])


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["head=fc", "seed=3"],
        ["seed=3", "split_seed=0"],
        ["dataset=arrays", "dataset.source='it is (1) \\'o\\' clock.npz'", "runs_dir='a b'"],
        ["experiment=quickstart", "optimizer.lr=1e-05"],
        ["optimizer=adamw", "trainer.max_steps=7", "trainer.deterministic=true", "study='01'"],
    ],
)
def test_a_configuration_is_written_as_overrides(words) -> None:
    config = nin_exp.compose(words)
    assert nin_exp.compose(as_overrides(config)) == config


def test_a_changed_configuration_is_written_as_well() -> None:
    config = nin_exp.compose(["head=fc"])
    changed = replace(config, head={**config.head, "dropout": 0.25}, trainer=replace(config.trainer, max_epochs=2))
    assert as_overrides(changed) == ["head=fc", "head.dropout=0.25", "trainer.max_epochs=2"]
    strange = replace(config, head={**config.head, "_target_": "nin_exp.heads.gap.GAP"})
    with pytest.raises(
        ConfigError,
        match=r"head\._target_ must be that of the chosen option, nin_exp\.heads\.fc\.FC, got nin_exp\.heads\.gap",
    ):
        as_overrides(strange)
    with pytest.raises(ConfigError, match="settings must be a list of overrides, got the text 'head=fc'"):
        as_overrides("head=fc")


def test_packages_that_are_functions() -> None:
    import nin_exp.train.signals as signals

    assert inspect.ismodule(nin_exp.train)
    assert nin_exp.train.signals is signals
    assert "settings" in inspect.signature(nin_exp.train).parameters
    assert callable(nin_exp.compose)
    assert set(nin_exp.__all__) <= set(dir(nin_exp))
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        _ = nin_exp.trane


@pytest.mark.slow
def test_train_and_open(from_source) -> None:
    config = nin_exp.compose([*TINY, "study=mine"])
    run = nin_exp.train(config)
    assert run.path.parent == Path("runs", "mine")
    assert run.config == config
    assert run.record.command.startswith("nin-exp train ")
    assert run.predict(np.zeros((8, 8), np.uint8))[0].class_name in run.class_names
    finished = run.record.finished_at
    assert nin_exp.train([*TINY, "study=mine"]).record.finished_at == finished  # done is not done twice


@pytest.mark.slow
def test_in_a_thread(from_source) -> None:
    """Signals are the main thread's: a run of another thread must not touch them."""
    found: list[object] = []

    def work() -> None:
        try:
            found.append(nin_exp.train([*TINY, "study=thread"]).metrics["test/acc"])
        except BaseException as error:  # handed to the test
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(200)
    (accuracy,) = found
    assert isinstance(accuracy, float), accuracy


def test_errors_have_their_class(from_source) -> None:
    with pytest.raises(ConfigError, match="head=gapp is not an option of head"):
        nin_exp.train(["head=gapp"])
    with pytest.raises(DataError, match=r"dataset\.source must be an existing file or folder, got 'gone'"):
        nin_exp.train(["dataset=imagefolder", "dataset.source=gone", "dataset.image_size=8"])
    with pytest.raises(ConfigError, match="compare needs a list to compare"):
        nin_exp.compare([*TINY, "seeds=2"])
    assert not Path("runs").exists()


def test_a_process_that_says_nothing(monkeypatch, tmp_path) -> None:
    """Whatever happens to the process becomes one error."""
    program = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(program))
    for body, kind, message in (
        ("exit 1", NinExpError, "ended with exit code 1 and said nothing"),
        ("echo oops >&2; exit 3", DataError, "^oops$"),
        ('echo \'{"study": "runs/s", "failed": ["ab"]}\'; exit 9', JobsFailedError, "jobs of runs/s failed: ab; "),
        ("exit 130", KeyboardInterrupt, "the same call goes on"),
    ):
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        with pytest.raises(kind, match=message):
            run_verb("train", [], verbose=False)


def test_verbose_passes_lines_on(monkeypatch, tmp_path, capsys) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho step >&2\necho '{\"a\": 1}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    assert run_verb("train", [], verbose=False) == {"a": 1}
    assert capsys.readouterr().err == ""
    run_verb("train", [], verbose=True)
    assert capsys.readouterr().err == "step\n"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> nin_exp.LoadedStudy:
    """GAP against FC with two seeds, of hardly trained runs."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", str(REPO / "src"))
        loaded = nin_exp.compare([*TINY, "head=gap,fc", "seeds=2", "study=heads", f"runs_dir={folder}/runs"])
    return loaded


@pytest.mark.slow
class TestStudy:
    def test_records(self, study) -> None:
        records = study.records
        assert records.shape[0] == 4
        assert records["arm"].value_counts().to_dict() == {"gap": 2, "fc": 2}
        for job_id, row in records.iterrows():
            record = json.loads((study.path / str(job_id) / "record.json").read_text())
            assert row["test/acc"] == record["metrics"]["test/acc"]
            assert (row["params_total"], row["seed"]) == (record["params_total"], record["seed"])

    def test_contrasts(self, study) -> None:
        (contrast,) = study.contrasts.to_dict("records")
        scores = study.records.set_index(["arm", "seed"])["test/acc"]
        wanted = np.mean([scores["fc", seed] - scores["gap", seed] for seed in (0, 1)])
        assert (contrast["arm"], contrast["baseline"], contrast["pairs"]) == ("fc", "gap", 2)
        assert contrast["difference"] == pytest.approx(wanted)
        assert contrast["low"] <= contrast["difference"] <= contrast["high"]
        assert contrast["verdict"] in study.summary or "no verdict" in study.summary
        assert "<table" in study._repr_html_()

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_figures(self, study, theme) -> None:
        figures = study.figures(theme)
        assert "differences" in figures
        for figure in figures.values():
            assert '"--' not in figure.to_json()  # every colour is one that plotly knows

    def test_runs(self, study) -> None:
        job_id = study.records.index[0]
        assert study.run(job_id[:8]).record.job_id == job_id
        assert [run.record.job_id for run in study.trained_runs()] == list(study.records.index)
        with pytest.raises(ConfigError, match=r"'' must be the start of one job id .*fits 4"):
            study.run("")

    def test_by_name(self, study) -> None:
        again = nin_exp.load_study("heads", runs_dir=study.path.parent)
        assert again.records.equals(study.records)
        assert nin_exp.load_study(runs_dir=study.path.parent).path == study.path
        assert again.report().is_file()
        assert repr(again) == f"LoadedStudy('{study.path}': 4 done)"
        with pytest.raises(ConfigError, match="Did you mean 'heads'"):
            nin_exp.load_study("head", runs_dir=study.path.parent)


def test_unknown_theme(trained) -> None:
    with pytest.raises(ConfigError, match="theme must be light or dark, got 'pink'"):
        nin_exp.load_study(trained.parent).figures("pink")


LIGHT = """
import sys, nin_exp
assert not set(sys.modules) & {"torch", "hydra", "pandas", "numpy"}
nin_exp.compose(["head=fc"])
study = nin_exp.load_study(sys.argv[1])
assert len(study.records) == 1 and study.contrasts.empty and study.runs
never = ("torch", "torchvision", "pytorch_lightning", "plotly", "onnxruntime")
found = [name for name in never if name in sys.modules]
assert not found, found
assert study.figures() is not None
assert "torch" not in sys.modules
"""


def test_studies_without_torch(trained) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(trained.parent)],
        env={**os.environ, "PYTHONPATH": str(REPO / "src")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
