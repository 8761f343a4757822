"""What a type checker sees of ``import nin_exp``: the lazy names, and the packages that are functions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PROGRAM = """
import nin_exp

run = nin_exp.load_run("runs/photos/3f2a", device="cpu")
reveal_type(run)
reveal_type(run.config)
reveal_type(run.metrics)
reveal_type(run.history)
reveal_type(run.model)
reveal_type(run.predict(["a.png"]))
reveal_type(run.explain("a.png")[0].box())
reveal_type(run.evaluate("val").classes[0].accuracy)
reveal_type(run.export("onnx"))
reveal_type(nin_exp.compose(["head=fc"]))
reveal_type(nin_exp.train(["head=fc"], verbose=True))
study = nin_exp.compare(["head=gap,fc"])
reveal_type(study)
reveal_type(study.records)
reveal_type(study.contrasts)
reveal_type(study.figures())
reveal_type(nin_exp.load_study("photos"))
reveal_type(nin_exp.load_onnx("model.onnx").predict("a.png")[0].top(1))
"""
REVEALED = """
TrainedRun ExperimentConfig dict[str,float] DataFrame Network list[Prediction] tuple[int,int,int,int]|None
float|None Path ExperimentConfig TrainedRun LoadedStudy DataFrame DataFrame dict[str,Any] LoadedStudy
list[tuple[str,float]]
"""
WRONG = """
import nin_exp

nin_exp.load_run("runs/photos/3f2a").export("caffe")
nin_exp.load_run("runs/photos/3f2a").evaluate("valid")
nin_exp.train(["head=fc"], retry=True)
nin_exp.compose(3)
nin_exp.load_runs("runs")
"""


def checked(program: str, folder: Path) -> list[str]:
    """What mypy says, a line each; with the project's settings and what it has kept of the package."""
    file = folder / "program.py"
    file.write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--no-pretty", str(file)],
        cwd=REPO, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if "program.py:" in line]


@pytest.mark.slow
def test_what_is_revealed(tmp_path) -> None:
    lines = checked(PROGRAM, tmp_path)
    found = [re.sub(r"[\w.]*\.(?=\w)| ", "", line.split('"')[1]) for line in lines]
    assert found == [re.sub(r"\s", "", name) for name in REVEALED.split()], "\n".join(lines)


@pytest.mark.slow
def test_mistakes_are_seen(tmp_path) -> None:
    lines = checked(WRONG, tmp_path)
    errors = [line.rpartition("[")[2].rstrip("]") for line in lines if ": error:" in line]
    assert errors == ["arg-type", "arg-type", "call-arg", "arg-type", "attr-defined"], "\n".join(lines)
