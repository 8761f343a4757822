"""Completion: what is offered, in process and by the shells themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nin_exp.cli.complete import candidates
from nin_exp.cli.flags import parser_of
from nin_exp.cli.main import VERBS, main

REPO = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nin-exp tra", ["train"]),
        ("nin-exp be", ["bench", "best"]),
        ("time ~/.venv/bin/nin-exp be", ["bench", "best"]),
        ("nin-exp can", ["cancel"]),
        ("nin-exp train head=fl", ["head=flatten_linear"]),
        ("nin-exp train +head=fl", ["+head=flatten_linear"]),
        ("nin-exp train head=gap,fc", ["head=gap,fc", "head=gap,fc_dropout"]),
        ("nin-exp train trainer.max_", ["trainer.max_epochs=", "trainer.max_steps="]),
        ("nin-exp train optimizer=adam optimizer.bet", ["optimizer.beta1=", "optimizer.beta2="]),
        ("nin-exp train sweep=op", ["sweep=optimizers"]),
        ("nin-exp train --fr", ["--from"]),
        ("nin-exp train -m --max", ["--max-failures"]),
        ("nin-exp train --stale ", ["keep", "rerun"]),
        ("nin-exp compare --dry", ["--dry-run"]),
        ("nin-exp compare --dry-run=", ["--dry-run=build", "--dry-run=plan"]),
        ("nin-exp compare --dry-run hed", []),
        ("nin-exp compare --dry-run tune.pr", ["tune.pruner="]),
        ("nin-exp compare --tu", ["--tuned"]),
        ("nin-exp tune tune.pr", ["tune.pruner="]),
        ("nin-exp tune --st", []),
        ("nin-exp best --sel", ["--select-on-test"]),
        ("nin-exp completion z", ["zsh"]),
        ("nin-exp data sp", ["split"]),
        ("nin-exp data check mni", ["mnist"]),
        ("nin-exp bench --repeats 3 s", ["step"]),
        ("nin-exp evaluate 3f2a --split t", ["test", "train"]),
        ("nin-exp evaluate 3f2a head", []),
        ("nin-exp evaluate 3f2a dataset=mn", ["dataset=mnist"]),
        ("nin-exp explain 3f2a --format s", ["svg"]),
        ("nin-exp export 3f2a --format s", ["safetensors"]),
        ("nin-exp nothing x", []),
        ("nin-exp train 'unclosed", []),
        ("nin-exp", []),
    ],
)
def test_candidates(line: str, expected: list[str]) -> None:
    assert candidates(line) == expected


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_is_offered(verb: str) -> None:
    shown = re.findall(r"^ +(?:-\w[^-]*, )?(--[a-z-]+)", parser_of(verb).format_help(), flags=re.MULTILINE)
    assert "--help" in shown
    assert candidates(f"nin-exp {verb} --") == sorted(shown)


@pytest.mark.usefixtures("in_tmp")
def test_runs_and_studies(in_tmp: Path) -> None:
    for runs in ("runs", "elsewhere"):
        run = in_tmp / runs / f"{runs}-study" / "1a2b3c4d5e6f"
        run.mkdir(parents=True)
        (run / "record.json").touch()
        (run.parent / "study.json").touch()
    assert candidates("nin-exp show 1a") == ["1a2b3c4d5e6f"]
    assert candidates("nin-exp diff 1a2b3c4d5e6f 1a") == ["1a2b3c4d5e6f"]
    assert candidates("nin-exp train --from 1a") == ["1a2b3c4d5e6f"]
    assert candidates("nin-exp report runs-") == ["runs-study"]
    assert candidates("nin-exp report --runs-dir elsewhere els") == ["elsewhere-study", "elsewhere/"]
    assert candidates("nin-exp best --runs-dir els") == ["elsewhere/"]


def test_options_of_a_folder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "mine.yaml").write_text("_target_: my_heads.Mine\nwidth: 3\n")
    line = f"nin-exp train --config-dir {tmp_path} head="
    assert candidates(f"{line}mi") == ["head=mine"]
    assert candidates(f"{line}mine head.w") == ["head.width="]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH whose first ``nin-exp`` is this checkout's."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "nin-exp"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{REPO / "src"}" exec "{sys.executable}" -P -m nin_exp "$@"\n')
    program.chmod(0o755)
    return f"{tmp_path / 'bin'}:{os.environ['PATH']}"


def ask(shell: str, commands: str, path: str, cwd: Path) -> str:
    """What a shell prints."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    flags = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [shell, *flags, "-c", commands],
        env={**os.environ, "PATH": path},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nin-exp train head=gap", ["gap", "gap_linear"]),
        ("nin-exp train head=gap,fc_", ["gap,fc_dropout"]),
        ("nin-exp data split two", [r"two\ words/"]),
    ],
)
def test_bash_completes(line: str, expected: list[str], path: str, tmp_path: Path) -> None:
    (tmp_path / "two words").mkdir()
    commands = f"""eval "$(nin-exp completion bash)"; compopt() {{ :; }}
        COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _nin_exp; printf '%s\\n' "${{COMPREPLY[@]}}" """
    assert ask("bash", commands, path, tmp_path).splitlines() == expected


def test_fish_completes(path: str, tmp_path: Path) -> None:
    commands = "nin-exp completion fish | source; complete -C 'cd /; nin-exp train head=gap'"
    assert ask("fish", commands, path, tmp_path).split() == ["head=gap", "head=gap_linear"]


def test_zsh_completes(path: str, tmp_path: Path) -> None:
    """The widget runs in an interactive shell alone: ``compadd`` is replaced by a function that prints."""
    commands = """compdef() { :; }; compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- $@ }
        eval "$(nin-exp completion zsh)"; words=(nin-exp train head=gap); CURRENT=3; PREFIX=head=gap; _nin_exp"""
    assert ask("zsh", commands, path, tmp_path).split() == ["head=gap", "head=gap_linear"]


def test_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fsh"]) == 2
    assert "'fsh' is not a shell with completion. Did you mean 'fish'?" in capsys.readouterr().err
