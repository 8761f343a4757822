"""A folder of a user's own options: what works, and what a broken or hostile file gets."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nin_exp.cli.main import main

GAP = "_target_: nin_exp.heads.gap.GAP\nrelu: false\n"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def own_folder(root: Path, text: str | bytes, option: str = "head/mine") -> Path:
    path = root / f"{option}.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


@pytest.mark.parametrize("name", ["own", "with space, comma [x]", "it's=this", "üñí"])
def test_a_folder_of_any_name(name: str, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = own_folder(in_tmp / name, GAP)
    assert main(["train", "--cfg", "job", "--config-dir", str(folder), "head=mine"]) == 0
    assert "nin_exp.heads.gap.GAP" in capsys.readouterr().out


BROKEN = [
    ("tab", "\t_target_: x\n", 2, "mine.yaml cannot be composed: while scanning"),
    ("unclosed", "_target_: [a\n", 2, "mine.yaml cannot be composed: while parsing a flow sequence"),
    ("duplicate", f"{GAP}relu: true\n", 2, "found duplicate key relu"),
    ("list", "- a\n- b\n", 2, "head must be a mapping, got ['a', 'b']"),
    ("scalar", "hello\n", 2, "head must name a class in _target_"),
    ("empty", "", 2, "head must name a class in _target_"),
    ("no text", b"\xff\xfe\x00", 2, "mine.yaml cannot be composed: 'utf-8' codec can't decode"),
    ("python object", f"x: !!python/object/apply:os.mkdir [canary]\n{GAP}", 2, "could not determine a constructor"),
    ("billion laughs", LAUGHS + GAP, 2, "must hold at most 100,000 values, and its aliases unfold into more"),
    ("deep list", f"relu: {'[' * 10_000}{']' * 10_000}\n", 2, "must not be nested so deeply"),
    ("deep mapping", f"relu: {'{a: ' * 3000}1{'}' * 3000}\n", 2, "must not be nested so deeply"),
    ("large", f"# {'x' * 1_000_001}\n{GAP}", 2, "must be a configuration of at most 1 MB"),
    ("interpolation", "_target_: nin_exp.heads.gap.GAP\nrelu: ${nope.a}\n", 2, "nope"),
    ("open interpolation", "_target_: nin_exp.heads.gap.GAP\nrelu: ${nope\n", 2, "mine.yaml cannot be composed"),
    ("environment", "_target_: nin_exp.heads.gap.GAP\nrelu: ${oc.env:NIN_EXP_NOPE}\n", 2, "NIN_EXP_NOPE"),
    ("resolver", "_target_: nin_exp.heads.gap.GAP\nrelu: ${foo:1}\n", 2, "Unsupported interpolation type foo"),
    ("missing", "_target_: nin_exp.heads.gap.GAP\nrelu: ???\n", 2, "head.relu"),
    ("os.system", "_target_: os.system\ncommand: mkdir canary\n", 5, "must lie in nin_exp, got 'os.system'"),
    ("numpy.load", "_target_: numpy.load\nfile: x\n", 5, "got 'numpy.load'"),
    ("builtins", "_target_: builtins.eval\n", 5, "got 'builtins.eval'"),
    ("from the environment", "_target_: ${oc.env:PWD}\n", 5, "head._target_ must lie in nin_exp"),
    ("no name", "_target_: nin_exp\n", 5, "got 'nin_exp'"),
    ("nested", "_target_: nin_exp.heads.gap.GAP\nrelu: {_target_: os.mkdir, path: canary}\n", 5, "got 'os.mkdir'"),
    ("in a list", "_target_: nin_exp.heads.gap.GAP\nrelu: [{_target_: os.mkdir}]\n", 5, "got 'os.mkdir'"),
    ("by another name", "_target_: nin_exp.cli.main.os.system\n", 2, "_target_ names the module 'nin_exp.cli.main.os'"),
    ("outside", "_target_: nin_exp.../../etc.x\n", 2, "_target_ names the module"),
    ("_args_", f"{GAP}_args_: [1]\n", 2, "head._args_ is not an argument of nin_exp.heads.gap.GAP"),
    ("_partial_", f"{GAP}_partial_: true\n", 2, "head._partial_ is not an argument"),
    ("no such default", f"defaults: [nope]\n{GAP}", 2, "nope"),
]


@pytest.mark.parametrize(("text", "code", "message"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_a_broken_file(
    text: str | bytes, code: int, message: str, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own_folder(in_tmp / "own", text)
    start = time.process_time()
    assert main(["train", "--dry-run", "--config-dir", str(folder), "head=mine"]) == code
    assert time.process_time() - start < 5
    error = capsys.readouterr().err
    assert error.startswith("nin-exp: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert [p.name for p in in_tmp.iterdir()] == ["own"], "no canary"


@pytest.mark.parametrize(
    ("option", "text", "setting", "message"),
    [
        ("experiment/mine", "# @package _global_\nfoo: 3\n", "experiment=mine", "foo"),
        ("experiment/mine", "# @package _global_\ndefaults: [{override /head: fcc}]\n", "experiment=mine", "fcc"),
        ("head/mine", GAP, "head=mien", "head=mien is not an option of head. Did you mean 'mine'?"),
        ("foo/mine", "x: 1\n", "foo=mine", "foo"),
    ],
)
def test_a_wrong_choice(
    option: str, text: str, setting: str, message: str, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own_folder(in_tmp / "own", text, option)
    assert main(["train", "--dry-run", "--config-dir", str(folder), setting]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_laughs_cost_no_memory(tmp_path: Path) -> None:
    """In a process of its own, with half a gigabyte to spend."""
    folder = own_folder(tmp_path / "own", LAUGHS + GAP)
    command = [sys.executable, "-P", "-m", "nin_exp", "train", "--dry-run", "--config-dir", str(folder), "head=mine"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29)),
    )
    assert done.returncode == 2, done.stderr
    assert "its aliases unfold into more" in done.stderr
