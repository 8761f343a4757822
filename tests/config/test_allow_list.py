"""Classes that a configuration may not name, however it names them: an allow-list, where Hydra has a block-list."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nin_exp.cli.main import main
from nin_exp.compose.check import TRUSTED
from nin_exp.compose.signature import check_allowed, check_package
from nin_exp.errors import ConfigError, RefusedError

FOREIGN = {
    "os": "system popen execv execvp spawnl fork remove rmdir symlink chmod putenv kill makedirs truncate",
    "subprocess": "run call check_call check_output Popen getoutput",
    "builtins": "eval exec open compile __import__ getattr setattr input breakpoint print",
    "shutil": "rmtree move copyfile copytree unpack_archive make_archive",
    "pickle": "load loads Unpickler",
    "torch": "load save hub.load compile ops.load_library jit.load classes.load_library",
    "numpy": "load save fromfile memmap f2py.compile",
    "importlib": "import_module reload",
    "logging": "os.system FileHandler config.listen",
    "pathlib": "Path Path.unlink Path.write_text",
    "pip": "main _internal.main",
    "hydra": "utils.instantiate utils.get_method utils.call",
    "nin_expo": "heads.gap.GAP",
    "Nin_exp": "heads.gap.GAP",
    "": "system nin_exp.heads.gap.GAP",
}
TARGETS = [f"{package}.{name}" for package, names in FOREIGN.items() for name in names.split()]
ODD = [None, 3, True, [], {}, "", "nin_exp", "nin_exp\n.os.system", " nin_exp.heads.gap.GAP", "system"]


def test_how_many_are_tried() -> None:
    assert len(set(TARGETS)) >= 60


@pytest.mark.parametrize("target", [*TARGETS, *ODD], ids=repr)
def test_refused(target: object, monkeypatch: pytest.MonkeyPatch) -> None:
    # Hydra's own switch, which would let through what its block-list names.
    monkeypatch.setenv("HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE", str(target).strip() or "x")
    with pytest.raises(RefusedError, match=r"head\._target_ must lie in nin_exp, got"):
        check_allowed(target, "head", TRUSTED)


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "torch.hub.load", "nin_exp\n.os.system"])
@pytest.mark.parametrize("key", ["head", "dataset", "executor", "logger.wandb"])
def test_refused_on_the_command_line(key: str, target: str, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = ["logger=wandb"] if key.startswith("logger") else []
    assert main(["train", "--dry-run", *extra, f"{key}._target_='{target}'"]) == 5
    error = capsys.readouterr().err
    assert error.startswith(f"nin-exp: error: {key}._target_ must lie in nin_exp, got")
    assert error.count("\n") == 1
    assert list(in_tmp.iterdir()) == []


@pytest.mark.parametrize("name", sorted(sys.stdlib_module_names)[::40])
def test_what_comes_with_python_cannot_be_trusted(name: str) -> None:
    with pytest.raises(RefusedError, match=f"must be a package of your own, got '{name}', which comes with Python"):
        check_package(name)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "../a", "a;b"])
def test_a_package_has_a_plain_name(name: str) -> None:
    with pytest.raises(ConfigError, match="--allow-package must be the name of a top-level package"):
        check_package(name)
