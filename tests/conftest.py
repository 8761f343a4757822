"""What all tests share: no network, no user's settings, and a place for runs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# Before any test imports them: trackers and font caches must not look for a network or a home.
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.pop("WANDB_API_KEY", None)

REPO = Path(__file__).resolve().parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with an empty data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIN_EXP_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def real_data() -> Path:
    """The folder with expanded real images."""
    folder = os.environ.get("NIN_EXP_DATA", "")
    if not folder or not (Path(folder) / "mnist.npz").is_file():
        pytest.skip(
            "real images: set NIN_EXP_DATA to a folder with mnist.npz, fashion_mnist.npz, cifar10.npz, svhn.npz"
        )
    return Path(folder)


CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def python(tmp_path: Path) -> CommandLine:
    """Run Python with this checkout in a fresh process, in an empty working directory."""

    def run(*arguments: str, timeout: float = 240, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPO / "src"), **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def nin_exp(python: CommandLine) -> CommandLine:
    """Run ``nin-exp`` as ``python`` does."""
    return partial(python, "-m", "nin_exp")


@pytest.fixture(scope="session")
def module_of() -> Callable[[Path], ModuleType]:
    """Import a file that lies beside other tests: tests are no package, so its name would not do."""

    def load(path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@dataclass
class Visit:
    """An open page, what it asked for, and what went wrong on it."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a window."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium on PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visit]]:
    """Open an address, or a file without any network, in a window of its own; settings are Playwright's."""
    contexts = []

    def open_page(address: str | Path, **settings: Any) -> Visit:
        offline = isinstance(address, Path)
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "offline": offline, **settings})
        contexts.append(context)
        seen = Visit(context.new_page())
        seen.page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        seen.page.on("dialog", lambda dialog: seen.errors.append(dialog.message))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("requestfailed", lambda request: seen.errors.append(request.url))
        seen.page.goto(address.as_uri() if isinstance(address, Path) else address)
        return seen

    yield open_page
    for context in contexts:
        context.close()
