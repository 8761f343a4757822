"""scripts/test and .ci/run: which checks run, in which order, and what their failure does."""

from __future__ import annotations

import subprocess

import pytest

LINTERS = [
    "run -m ruff check",
    "run -m ruff format --check",
    "run -m mypy",
    "run -P -c from importlinter.cli import lint_imports_command; lint_imports_command() --no-logo",
]
FAST = "-m not slow and not browser"
SLOW = "run -P -m pytest -m slow or browser -n "
CLOSING_LINE = "==== 3 passed in 0.01s ===="


@pytest.fixture
def ready(checkout):
    checkout.add_python("python3", "3.12")
    assert checkout.run("scripts/test", "--version").returncode == 0
    checkout.forget()
    return checkout


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout.splitlines()[-1]


def test_linters_then_fast_tests(ready):
    result = ready.run("scripts/test")
    assert result.returncode == 0
    assert ready.noted()[:4] == LINTERS
    (tests,) = ready.noted()[4:]
    assert tests.startswith(f"run -P -m pytest {FAST}")
    assert last_line(result) == CLOSING_LINE


@pytest.mark.parametrize("failing", ["ruff check", "ruff format", "mypy", "lint_imports"])
def test_a_failed_linter_stops_nothing_and_counts(ready, failing):
    result = ready.run("scripts/test", FAKE_FAILS_AT=failing)
    assert result.returncode == 1
    assert len(ready.noted("run")) == 5
    assert f"== FAILED so far: {failing.replace('_', '-')}\n" in result.stdout
    assert last_line(result) == CLOSING_LINE


def test_all_failed_linters_are_listed(ready):
    result = ready.run("scripts/test", FAKE_FAILS_AT="-m ruff")
    assert "== FAILED so far: ruff check, ruff format\n" in result.stdout


@pytest.mark.parametrize("arguments", [[], ["--all"], ["--slow"], ["-k", "name"]])
def test_failed_tests_count(ready, arguments):
    assert ready.run("scripts/test", *arguments, FAKE_FAILS_AT="pytest").returncode == 1


def test_failed_fast_tests_count_when_slow_ones_pass(ready):
    result = ready.run("scripts/test", "--all", FAKE_FAILS_AT=FAST)
    assert result.returncode == 1
    assert "== FAILED so far: pytest\n" in result.stdout


def test_all_adds_the_slow_tests_after_the_fast_ones(ready):
    assert ready.run("scripts/test", "--all").returncode == 0
    assert ready.noted()[:4] == LINTERS
    fast, slow = ready.noted()[4:]
    assert FAST in fast
    assert slow.startswith(SLOW)


def test_slow_is_what_all_adds(ready):
    assert ready.run("scripts/test", "--slow").returncode == 0
    (slow,) = ready.noted()
    assert slow.startswith(SLOW)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-k", "two words"], f"{FAST} -k two words"),
        (["tests/stats", "-x"], f"{FAST} tests/stats -x"),
        (["-m", "slow"], f"{FAST} -m slow"),  # pytest takes the last -m
        (["tests/a.py::test_b"], "-m  tests/a.py::test_b"),
        (["--all", "tests/stats"], "-m  tests/stats"),
        (["tests/stats", "--slow"], "-m slow or browser tests/stats"),
    ],
)
def test_arguments_go_to_pytest_alone(ready, arguments, expected):
    assert ready.run("scripts/test", *arguments).returncode == 0
    assert ready.noted() == [f"run -P -m pytest {expected}"]


class TestRealImages:
    @pytest.fixture
    def packed(self, ready):
        data = ready.folder.parent / "shared/data"
        (data / "flowers/rose").mkdir(parents=True)
        (data / "unpack.py").write_text(
            "import pathlib, sys\nout = pathlib.Path(sys.argv[1])\n(out / 'mnist.npz').touch()\n"
            "sys.exit(sys.argv[2:] != ['--idx'])\n"
        )
        return ready

    def test_expanded_for_the_tests_and_removed(self, packed):
        assert packed.run("scripts/test", "-x").returncode == 0
        (noted,) = packed.noted("data ")
        assert noted.endswith(": flowers mnist.npz")
        assert list(packed.folder.parent.glob("nin-exp-data*")) == []

    def test_a_named_folder_is_used_as_it_is(self, packed, tmp_path):
        assert packed.run("scripts/test", "-x", NIN_EXP_DATA=str(tmp_path / "bin")).returncode == 0
        assert packed.noted("data ") == [f"data {tmp_path / 'bin'}: python3"]

    def test_failure_to_expand_counts_and_hides_nothing(self, packed):
        (packed.folder.parent / "shared/data/unpack.py").write_text("import sys\nsys.exit('checksum differs')\n")
        result = packed.run("scripts/test")
        assert result.returncode == 1
        assert "checksum differs" in result.stderr
        assert "== FAILED so far: real images\n" in result.stdout
        assert packed.noted("data ") == []
        assert len(packed.noted("run")) == 5


class TestContinuousIntegration:
    def test_remakes_venv_and_runs_every_phase(self, ready):
        (ready.folder / ".venv/left-over").touch()
        result = ready.run(".ci/run")
        assert result.returncode == 0, result.stdout + result.stderr
        assert not (ready.folder / ".venv/left-over").exists()
        assert ready.noted("venv") == ["venv 3.12"]
        assert "[compare][experiment=quickstart][study=quickstart]" in result.stdout
        tests = ready.noted("run -P -m pytest")
        assert len(tests) == 2
        assert FAST in tests[0]
        assert tests[1].startswith(SLOW)
        for name in ("scripts/quickstart", "scripts/test"):
            assert [line.split()[:2] for line in result.stdout.splitlines()].count([name, "passed"]) == 1
        assert last_line(result) == CLOSING_LINE

    @pytest.mark.parametrize(
        "failing", [{"FAKE_EXIT": "9"}, {"FAKE_FAILS_AT": "mypy"}, {"FAKE_FAILS_AT": "slow or browser"}]
    )
    def test_any_failure_fails_it_and_stops_nothing(self, ready, failing):
        result = ready.run(".ci/run", **failing)
        assert result.returncode == 1
        assert len(ready.noted("run -P -m pytest")) == 2
        assert last_line(result) == CLOSING_LINE

    @pytest.mark.parametrize(("user", "installs"), [("0", True), ("1000", False)])
    def test_missing_viewers_are_told_and_tolerated(self, ready, user, installs):
        ready.write_program(ready.path[0] / "id", f"#!/usr/bin/env bash\necho {user}\n")
        ready.write_program(
            ready.path[0] / "apt-get", '#!/usr/bin/env bash\necho "apt-get $*" >>"$FAKE_LOG"\nexit 100\n'
        )
        result = ready.run(".ci/run")
        assert result.returncode == 0
        (told,) = [line for line in result.stdout.splitlines() if "will be skipped" in line]
        assert "chromium texlive-latex-recommended poppler-utils" in told
        assert bool(ready.noted("apt-get")) is installs

    def test_viewers_that_are_there_are_left_alone(self, ready):
        for name in ("google-chrome", "pdflatex", "pdftotext"):
            ready.write_program(ready.path[0] / name, "#!/usr/bin/env bash\n")
        ready.write_program(ready.path[0] / "apt-get", "#!/usr/bin/env bash\nexit 100\n")
        result = ready.run(".ci/run")
        assert result.returncode == 0
        assert "skipped" not in result.stdout
