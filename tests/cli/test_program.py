"""``nin-exp`` as a program: exit codes, one line an error, streams that are closed, full or not read."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import nin_exp.cli.ls
from nin_exp import errors
from nin_exp.cli.flags import parser_of
from nin_exp.cli.main import VERBS, main
from nin_exp.errors import ConfigError, DataError, NinExpError

REPO = Path(__file__).resolve().parents[2]
PROGRAM = f"{sys.executable} -P -m nin_exp"


def shell(command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a shell's line, in which ``nin-exp`` is this checkout's."""
    env = {**os.environ, "PYTHONPATH": str(REPO / "src"), **env}
    command = command.replace("nin-exp", PROGRAM)
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=cwd, env=env, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["--help", "train --cfg job", "data list --help"])
def test_a_reader_that_ends_is_no_error(command: str, unbuffered: str, tmp_path: Path) -> None:
    done = shell(f"nin-exp {command} | true", tmp_path, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_is_full(unbuffered: str, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    done = shell("nin-exp --help >/dev/full", tmp_path, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 6
    assert done.stderr.startswith("nin-exp: error: a file, or standard output, cannot be used: No space left")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, tmp_path: Path) -> None:
    assert shell(f"nin-exp ls {closed}", tmp_path).returncode == 0
    assert shell(f"nin-exp lss {closed}", tmp_path).returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_takes_any_name(encoding: str, tmp_path: Path) -> None:
    done = shell("nin-exp train --cfg job 'study=花'", tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert ("花" if encoding == "utf-8" else "\\u82b1") in done.stdout


def catches_sigterm(pid: int) -> bool:
    """Whether the program has begun: before, the system and not nin-exp answers signals."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_sigterm_and_sigint_while_a_verb_works(tmp_path: Path) -> None:
    """At a moment that is no training: the plan of many jobs is being composed."""
    command = [*PROGRAM.split(), "compare", "head=gap,fc", "seeds=10000", "--dry-run"]
    env = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    # A shell's background jobs ignore SIGINT, and so do their children until they say otherwise.
    for number, code, before in (
        (signal.SIGINT, 130, signal.SIG_DFL),
        (signal.SIGINT, 130, signal.SIG_IGN),
        (signal.SIGTERM, 143, signal.SIG_DFL),
    ):
        with subprocess.Popen(
            command,
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, before),
        ) as process:
            while not catches_sigterm(process.pid):
                time.sleep(0.02)
            time.sleep(0.3)
            process.send_signal(number)
            _, error = process.communicate(timeout=30)
        # Python ends itself by the signal where it came inside of eval(); a shell reports both as 130.
        assert process.returncode in (code, -number)
        assert error == ""
    assert list(tmp_path.iterdir()) == []


def fail_while_cleaning_up() -> None:
    {}["a library's own cleaning up fails on what is half-done"]


def name_another_cause() -> None:
    """OmegaConf's context managers fail on what an interrupt left, and Hydra raises an error of its own from that."""
    raise ConfigError("the configuration cannot be composed") from AttributeError("of something half-done")


@pytest.mark.parametrize("leave_behind", [fail_while_cleaning_up, name_another_cause])
@pytest.mark.parametrize(("signalled", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_an_error_that_a_signal_left_behind(
    signalled: BaseException, code: int, leave_behind: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: object) -> int:
        try:
            raise signalled
        finally:
            leave_behind()

    monkeypatch.setattr(nin_exp.cli.ls, "run", run)
    assert main(["ls"]) == code


def test_no_verb_prints_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: nin-exp VERB" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["help"], ["--help"], ["-h"]])
def test_help_names_every_verb(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {verb} " in text for verb in VERBS)


def test_every_exit_code_is_in_the_help_and_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NinExpError)]
    codes = {kind.exit_code for kind in classes} | {code for name, code in vars(errors).items() if "EXIT_" in name}
    main(["--help"])
    listed = capsys.readouterr().out.partition("exit codes:")[2]
    page = (REPO / "docs" / "command-line.md").read_text(encoding="utf-8")
    rows = "".join(re.findall(r"^\|([\d, ]+)\|", page, flags=re.MULTILINE))
    assert codes == set(map(int, re.findall(r"\d+", listed)))
    assert codes == set(map(int, re.findall(r"\d+", rows)))


def test_every_verb_is_a_file_and_every_file_of_a_verb_is_one() -> None:
    folder = Path(nin_exp.cli.ls.__file__).parent
    with_run = {p.stem for p in folder.glob("*.py") if "\ndef run(arguments: " in p.read_text(encoding="utf-8")}
    assert set(VERBS) == with_run - {"complete"}


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Says what it does, explains every argument, and shows a command."""
    with pytest.raises(SystemExit, match="0"):
        main([verb, "--help"])
    text = capsys.readouterr().out
    parser = parser_of(verb)
    assert parser.description is not None
    assert f"nin-exp {verb}" in str(parser.epilog)
    assert [a.dest for a in parser.arguments if not a.help and not a.metavar] == []
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "'trian' is not a verb of nin-exp. Did you mean 'train'?"),
        (["head=gap"], "stand behind a verb"),
        (["--json", "ls"], "stand behind a verb"),
        (["frobnicate"], "`nin-exp --help` lists the verbs."),
        (["\x1b[31mx"], "'?[31mx' is not a verb"),
    ],
)
def test_unknown_verbs(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


ERRORS = [
    (DataError("x.npz must hold x_train"), 3, "x.npz must hold x_train"),
    (MemoryError(), 8, "memory ran out (MemoryError)"),
    (OSError(errno.ENOSPC, "No space left on device", "runs/a"), 6, "runs/a cannot be used: No space left on device"),
    (PermissionError(errno.EACCES, "Permission denied", "runs/a"), 6, "runs/a cannot be used: Permission denied"),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "BrokenPipeError: [Errno 32] Broken pipe (this is a bug"),
    (ValueError("two\nlines"), 1, "ValueError: two (this is a bug; run again with --debug for the traceback)"),
    (NinExpError("x" * 5000), 1, f"{'x' * 80}…{'x' * 40}"),
    (NinExpError("several\nlines \x1b[2J"), 1, "several lines ?[2J"),
]


@pytest.fixture
def failing_ls(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    def run(_: object) -> int:
        raise request.param

    monkeypatch.setattr(nin_exp.cli.ls, "run", run)


@pytest.mark.parametrize(
    ("failing_ls", "code", "message"), ERRORS, indirect=["failing_ls"], ids=lambda v: type(v).__name__
)
@pytest.mark.usefixtures("failing_ls")
def test_errors_are_one_line(code: int, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == code
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == f"nin-exp: error: {message}{captured.err.partition(message)[2]}"
    assert captured.err.count("\n") == 1
    assert main(["ls", "--json"]) == code
    error = json.loads(capfd.readouterr().out)["error"]
    assert error["code"] == code
    assert message in error["message"]


@pytest.mark.parametrize("failing_ls", [DataError("it is broken")], indirect=True)
@pytest.mark.usefixtures("failing_ls")
def test_debug_shows_the_traceback_and_keeps_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "--debug"]) == 3
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last):")
    assert error.endswith("nin-exp: error: it is broken\n")


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 14, 0), (4, 0, 0)])
def test_a_python_that_will_not_do(
    version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert main(["--help"]) == 2
    expected = f"Python must be 3.11 to 3.13, got {version[0]}.{version[1]}; make a virtual environment"
    assert expected in capsys.readouterr().err
