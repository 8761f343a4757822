"""Every command of every page is run, in the page's order, with fewer steps and seeds; so is the Python."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

# Not run here, by their beginning.
ELSEWHERE = {
    "scripts/quickstart": "run by .ci/run",
    "scripts/test": "run by .ci/run",
    "uv pip compile": "needs a package index; tests/repo holds the locks against what they are made of",
    "pip install": "needs a package index",
    "optuna-dashboard": "a server of another package",
    "wandb ": "another package's, with a server or a terminal",
}
# Planned and checked, but not trained: what they need is not here, or its own tests do it.
PLANNED = {
    "executor=slurm": "a cluster; tests/executors plays one",
    "/shared/": "a disk of several machines",
    "trainer=ddp": "several devices; tests/train starts ranks",
    "compare.max_seeds": "many pairs; tests/cli decides with few",
}
SHORTER = {
    "train": ["trainer.max_steps=2", "evaluation.level=basic"],
    "compare": ["trainer.max_steps=2", "evaluation.level=basic", "seeds=2", "dataset.train_limit=200"],
    "tune": ["trainer.max_steps=2", "tune.trials=1", "dataset.train_limit=200"],
    "benchmarks/throughput.py": ["--blocks", "1", "--steps", "12"],
    "benchmarks/reference_step.py": ["--network", "lenet", "--steps", "3", "--batch", "16"],
}
AS_IT_STANDS = ("--cfg", "--dry-run", "--from")
REAL_DATA = re.compile(r"mnist|cifar|svhn|flowers/|dataset=flowers|data.dir[= ]DIR")
# Names that the Python of a page takes from its reader.
GIVEN = {"docs/statistics.md": "differences, n_contrasts = [0.010, 0.012, 0.009, 0.011, 0.010, 0.012, 0.011, 0.008], 1"}


def test_each_command_is_of_a_known_kind(commands) -> None:
    lines = [line for _, line in commands]
    assert len(lines) > 60
    assert [line for line in lines if not line.startswith(("nin-exp ", "python benchmarks/", *ELSEWHERE))] == []
    assert [kind for kind in ELSEWHERE if not any(line.startswith(kind) for line in lines)] == []
    assert [word for word in PLANNED if not any(word in line for line in lines)] == []


def shortened(words: list[str]) -> list[str]:
    """The same with few steps, few seeds and a narrow network."""
    verb, text = words[0], " ".join(words)
    if verb not in SHORTER or any(flag in words for flag in AS_IT_STANDS):
        return words
    if any(word in text for word in PLANNED):
        return [*words, "--dry-run"]
    kept = [word for word in words if verb != "compare" or not word.startswith("seeds=")]
    if "--tuned" in words:
        return [*kept, "seeds=2"]
    is_wide = "backbone=nin" in text or not re.search(r"backbone|experiment=", text)
    narrow = ["backbone.width=0.05"] if "benchmarks" not in verb and is_wide and "width" not in text else []
    return [*kept, *SHORTER[verb], *narrow]


class Reader:
    """Someone who types a page's commands, with names of theirs for the words in capitals."""

    def __init__(self, place: Path, environment: dict[str, str]) -> None:
        self.place, self.environment = place, environment

    def types(self, line: str) -> None:
        program, *words = shlex.split(line)
        words = self.filled_in(shortened(words))
        start = ["-m", "nin_exp"] if program == "nin-exp" else [str(REPO / words.pop(0))]
        done = self.run([*start, *words])
        assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
        assert done.stdout, line

    def run(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.place, env=self.environment, capture_output=True, text=True, timeout=840, check=False,
        )  # fmt: skip

    def filled_in(self, words: list[str]) -> list[str]:
        """RUN is the newest run, A and B are two of a study, STUDY is one study and then another."""
        records = sorted(self.place.glob("runs/*/*/record.json"), key=lambda path: path.stat().st_mtime_ns)
        heads = sorted(self.place.glob("runs/heads/*/record.json"))
        studies = iter(["heads", "more"])
        names = {"RUN": records[-1].parent, "A": heads[0].parent, "B": heads[-1].parent}
        filled = [next(studies) if word == "STUDY" else str(names.get(word, word)) for word in words]
        data = self.environment["NIN_EXP_DATA"]
        filled = [data if before == "--data-dir" else word for before, word in zip(["", *filled], filled, strict=False)]
        return [word.replace("data_dir=DIR", f"data_dir={data}").replace("$NIN_EXP_DATA", data) for word in filled]


@pytest.fixture
def reader(place: Path, environment: dict[str, str]) -> Reader:
    return Reader(place, environment)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_commands(page_commands, reader, has_real_data) -> None:
    """In the page's order: what one writes the next one reads."""
    _, lines = page_commands
    ours = [line for line in lines if line.startswith(("nin-exp ", "python "))]
    here = [line for line in ours if has_real_data or not REAL_DATA.search(line)]
    for line in here:
        reader.types(line)
    if ours and not here:
        pytest.skip("real images: set NIN_EXP_DATA")


@pytest.mark.slow
def test_python(page_python, reader) -> None:
    page, blocks = page_python
    if blocks[0].startswith(">>>"):
        assert page == "docs/reference.md"  # run by tests/reference, which knows what each line answers
        return
    done = reader.run(["-c", "\n".join([GIVEN.get(page, ""), *blocks])])
    assert done.returncode == 0, done.stderr[-3000:]
