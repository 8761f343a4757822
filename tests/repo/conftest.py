"""The repository's files, and a checkout whose Pythons are scripted."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IGNORED = {".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
IGNORED |= {".import_linter_cache", "runs", "outputs", "wandb", "lightning_logs", "dist", "build"}

# Everything the scripts call that is not Python, so that no Python of this machine is in reach.
TOOLS = ["bash", "env", "dirname", "readlink", "find", "head", "awk", "rm", "sed", "mkdir", "cp", "cat", "ln"]
TOOLS += ["mktemp", "getconf", "id"]

# Stands for any Python and for .venv's: says a version, notes what it is asked to do, and lets the real one
# do what needs no package.
FAKE_PYTHON = r"""#!/usr/bin/env bash
note() { printf '%s\n' "$*" >>"$FAKE_LOG"; }
case "$*" in
  *fcntl* | *setup_stamp.py* | *unpack.py*) exec "$REAL_PYTHON" "$@" ;;
  *sys.implementation*ensurepip*) echo "VERSION cpython HAS_VENV" ;;
  "-m venv --clear .venv")
    note "venv VERSION"
    rm -rf .venv
    mkdir -p .venv/bin .venv/lib/python3.12/site-packages
    cp "$0" .venv/bin/python
    echo made >.venv/pyvenv.cfg
    ;;
  "-I -m pip --version") ;;
  "-I -m pip install"*)
    all="$*"
    note "pip ${all#*--progress-bar off }"
    note "PIP_TARGET=${PIP_TARGET-unset} PIP_INDEX_URL=${PIP_INDEX_URL-unset} PYTHONPATH=${PYTHONPATH-unset}"
    case "$*" in *"${FAKE_PIP_FAILS_AT:-nothing}"*) echo 'ERROR: no such package' >&2; exit 1 ;; esac
    case "$*" in
      *--editable*)
        printf '#!/usr/bin/env bash\nprintf "[%%s]" "$@"\npwd\nexit %s\n' "${FAKE_EXIT:-0}" >.venv/bin/nin-exp
        "$REAL_PYTHON" -c 'import os; os.chmod(".venv/bin/nin-exp", 0o755)'
        ;;
    esac
    ;;
  *)
    note "run $*"
    case "$*" in
      *pytest*)
        if [ -n "${NIN_EXP_DATA:-}" ]; then note "data $NIN_EXP_DATA: $(cd "$NIN_EXP_DATA" && echo *)"; fi
        echo '==== 3 passed in 0.01s ===='
        ;;
    esac
    case "$*" in *"${FAKE_FAILS_AT:-nothing}"*) exit 1 ;; esac
    ;;
esac
"""


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def repo_files() -> list[Path]:
    """Every file that is or would be committed; without git, every file that is not a product."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists() and shutil.which("git"):
        names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        found = [ROOT / name for name in names if name]
    else:
        found = [p for p in ROOT.rglob("*") if not IGNORED.intersection(p.relative_to(ROOT).parts)]
    return sorted(p for p in found if p.is_file())


@dataclass(kw_only=True)
class FakeCheckout:
    """A copy of the scripts with a one-package lock, beside Pythons that only say that they are one."""

    folder: Path
    path: list[Path]  # of the environment variable PATH, without the tools
    tools: Path
    log: Path

    def add_python(self, name: str, version: str, *, folder: str = "bin", venv: bool = True) -> None:
        """Put a Python on PATH; version 'broken' makes one that fails when run, as some pyenv shims do."""
        place = self.folder.parent / folder
        if place not in self.path:
            place.mkdir()
            self.path.append(place)
        text = FAKE_PYTHON.replace("VERSION", version).replace("HAS_VENV", "venv" if venv else "bare")
        self.write_program(place / name, "#!/usr/bin/env bash\nexit 127\n" if version == "broken" else text)

    def write_program(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def run(
        self, script: str, *arguments: str, cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of the checkout (a path inside it, or an absolute one) with nothing else on PATH."""
        path = os.pathsep.join(str(place) for place in [*self.path, self.tools])
        settings = {"PATH": path, "FAKE_LOG": str(self.log), "REAL_PYTHON": sys.executable, **env}
        return subprocess.run(
            [str(self.folder / script), *arguments],
            cwd=cwd or self.folder,
            env={"TMPDIR": str(self.folder.parent), **settings},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def noted(self, start: str = "") -> list[str]:
        """What the Pythons were asked to do since the last call of `forget`."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(start)]

    def forget(self) -> None:
        self.log.unlink(missing_ok=True)


@pytest.fixture
def checkout(tmp_path: Path) -> FakeCheckout:
    if sys.platform == "win32":
        pytest.skip("the scripts need bash")
    folder = tmp_path / "a clone"
    for name in ("scripts", ".ci"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "requirements").mkdir()
    for lock in ("run", "dev"):
        pins = ["setuptools==84.2.1 \\", "    --hash=sha256:00", "    # via torch"]
        pins += ["torch==2.14.1 \\", "    --hash=sha256:11", ""]
        (folder / f"requirements/{lock}.lock").write_text("\n".join(pins))
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, f"the scripts call {tool}"
        (tools / tool).symlink_to(found)
    return FakeCheckout(folder=folder, path=[], tools=tools, log=tmp_path / "log")
