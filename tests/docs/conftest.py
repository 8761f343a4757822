"""The pages, what stands in their blocks, and a folder in which their commands find what they name."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt

REPO = Path(__file__).resolve().parents[2]
SHELL = ("sh", "bash", "shell", "console")
# By what a line is taken for a command wherever it stands; of a shell block every line is one.
PROGRAMS = re.compile(
    r"(nin-exp|python3?|pip|uv|wandb|optuna-dashboard|tensorboard|ray|git|cd|bash|find)\s|(scripts|\.ci|\S*/bin)/\w"
)
# In text blocks what a command does stands two spaces behind it.
WORDS_BEHIND = re.compile(r"\s{2,}.*")
TINY = ["dataset=digits", "backbone=nin_bn", "backbone.width=0.05", "trainer.max_steps=2", "evaluation.level=basic"]


@dataclass(frozen=True)
class Block:
    """A block of code; its language is what stands behind the fence, ``indented`` without a fence."""

    page: str
    language: str
    text: str

    def commands(self) -> list[str]:
        """The lines that a reader would type, continued ones joined, without what is said about them."""
        if self.language in ("python", "mermaid"):
            return []
        joined = re.sub(r"[ \t]*\\\n[ \t]*", " ", self.text)
        lines = [re.sub(r"^\$ ", "", line.strip()) for line in joined.splitlines()]
        if self.language in SHELL:
            return [words for line in lines if (words := shlex.join(shlex.split(line, comments=True)))]
        return [WORDS_BEHIND.sub("", line) for line in lines if PROGRAMS.match(line)]


def page_texts() -> dict[str, str]:
    """Every page of the repository, and the words between the cells of its notebooks."""
    found = {
        *REPO.glob("*.md"),
        *(p for name in ("docs", "requirements", "benchmarks") for p in (REPO / name).rglob("*.md")),
    }
    texts = {path: path.read_text(encoding="utf-8") for path in found}
    for path in (REPO / "docs").rglob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        texts[path] = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return {path.relative_to(REPO).as_posix(): texts[path] for path in sorted(texts)}


def parse(page: str, text: str) -> tuple[list[Block], list[str]]:
    """The blocks of code of a page, and the code inside its lines."""
    blocks, inline = [], []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "fence":
            blocks.append(Block(page, token.info.strip(), token.content))
        elif token.type == "code_block":
            blocks.append(Block(page, "indented", token.content))
        inline += [child.content for child in token.children or () if child.type == "code_inline"]
    return blocks, inline


PARSED = {page: parse(page, text) for page, text in page_texts().items()}
COMMANDS = {page: [line for block in blocks for line in block.commands()] for page, (blocks, _) in PARSED.items()}
PYTHON = {page: [b.text for b in blocks if b.language == "python"] for page, (blocks, _) in PARSED.items()}


@pytest.fixture(scope="session")
def parse_page() -> Callable[[str, str], tuple[list[Block], list[str]]]:
    return parse


@pytest.fixture(scope="session")
def blocks() -> list[Block]:
    return [block for found, _ in PARSED.values() for block in found]


@pytest.fixture(scope="session")
def commands() -> list[tuple[str, str]]:
    """(page, command) for all commands."""
    return [(page, line) for page, lines in COMMANDS.items() for line in lines]


@pytest.fixture(scope="session")
def inline_code() -> list[tuple[str, str]]:
    """(page, code) for all code inside lines."""
    return [(page, code) for page, (_, inline) in PARSED.items() for code in inline]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``page_commands`` and ``page_python``: (page, its commands) and (page, its Python blocks)."""
    for name, table in (("page_commands", COMMANDS), ("page_python", PYTHON)):
        if name in metafunc.fixturenames:
            filled = {page: found for page, found in table.items() if found}
            metafunc.parametrize(name, filled.items(), ids=list(filled))


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of the commands: this checkout, no service, one core."""
    threads = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    data = os.environ.get("NIN_EXP_DATA") or str(tmp_path_factory.mktemp("data"))
    return {**os.environ, **threads, "PYTHONPATH": str(REPO / "src"), "NIN_EXP_DATA": data}


@pytest.fixture(scope="session")
def has_real_data(environment: dict[str, str]) -> bool:
    return (Path(environment["NIN_EXP_DATA"]) / "cifar10.npz").is_file()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """What the pages name: class folders, images, two studies of two heads, a run called 3f2a9c0d."""
    from PIL import Image

    from nin_exp.data.sources.digits import read_digits

    folder = tmp_path_factory.mktemp("prepared")
    digits = read_digits()
    for number, (image, label) in enumerate(zip(digits.images[:120], digits.labels, strict=False)):
        name = ("daisies", "roses", "tulips")[label % 3]
        for path in (
            f"my_photos/{name}/{number:04}.png",
            f"new_photos/{number:04}.png",
            f"photos/{number:04}.png",
            "photo.png",
        ):
            if number < 4 or path.startswith("my"):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).resize((16, 16)).convert("RGB").save(folder / path)
    arguments = ["compare", *TINY, "head=gap,fc", "seeds=2", "study=heads", "executor.workers=1"]
    done = subprocess.run(
        [sys.executable, "-m", "nin_exp", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=840, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shutil.copytree(folder / "runs" / "heads", folder / "runs" / "more")
    (record, *_) = sorted(folder.glob("runs/heads/*/record.json"))
    shutil.copytree(record.parent, folder / "runs" / "photos" / "3f2a9c0d")
    return folder


@pytest.fixture
def place(prepared: Path, tmp_path: Path, environment: dict[str, str]) -> Path:
    """A copy of it, to write to; with the real flowers where they are."""
    shutil.copytree(prepared, tmp_path / "place")
    flowers = Path(environment["NIN_EXP_DATA"]) / "flowers"
    if flowers.is_dir():
        (tmp_path / "place" / "flowers").symlink_to(flowers, target_is_directory=True)
    return tmp_path / "place"
