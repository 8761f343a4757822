"""``nin-exp data split``: of each class its share, drawn by a seed, copied; the source stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nin_exp.cli.data import run
from nin_exp.data.folders import scan_folders
from nin_exp.data.split_folders import split_folders
from nin_exp.data.splits import partition
from nin_exp.errors import ConfigError, DataError, RefusedError, StorageError


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def photos(tmp_path, write_folders) -> Path:
    root: Path = write_folders(tmp_path / "photos", {"ant": 30, "bee": 11, "cow": 1})
    (root / "bee" / "notes.txt").write_text("no image")
    (root / "bee" / "more").mkdir()
    (root / "bee" / "img_0.png").rename(root / "bee" / "more" / "img_0.png")
    return root


def test_copies_every_image_once_and_leaves_the_source(tmp_path, photos, capsys):
    before = content(photos)
    assert run(["split", str(photos), str(tmp_path / "out"), "--rate", "0.1"]) == 0
    assert content(photos) == before
    copies = content(tmp_path / "out")
    del before["bee/notes.txt"]
    assert {name.split("/", 1)[1]: data for name, data in copies.items()} == before
    assert len(copies) == 42
    shown = capsys.readouterr().out
    assert "seed 0" in shown
    assert "all      38       4" in shown
    assert "1 files are no images and were not copied" in shown
    assert not list(tmp_path.glob(".*"))
    scan = scan_folders(tmp_path / "out", 0.5)
    assert (len(scan.train), len(scan.test)) == (38, 4)


def test_json_says_what_was_done(tmp_path, photos, capsys):
    run(["split", str(photos), str(tmp_path / "out"), "--fractions", "0.6,0.2,0.2", "--seed", "7", "--json"])
    done = json.loads(capsys.readouterr().out)
    assert done["counts"]["ant"] == {"train": 18, "val": 6, "test": 6}
    assert done["counts"]["cow"] == {"train": 1, "val": 0, "test": 0}
    assert (done["seed"], done["num_ignored"]) == (7, 1)
    found = {part.name: len(list(part.rglob("*.png"))) for part in (tmp_path / "out").iterdir()}
    assert found == {part: sum(counts[part] for counts in done["counts"].values()) for part in found}


def test_the_seed_decides(tmp_path, photos):
    fractions = {"train": 0.8, "val": 0.2}
    names = []
    for number, seed in enumerate((3, 3, 4)):
        split_folders(photos, tmp_path / str(number), fractions, seed)
        names.append(sorted(content(tmp_path / str(number))))
    assert names[0] == names[1] != names[2]


def test_a_random_seed_is_said(tmp_path, photos, capsys):
    seeds = set()
    for number in range(2):
        run(["split", str(photos), str(tmp_path / str(number)), "--seed", "random", "--json"])
        seeds.add(json.loads(capsys.readouterr().out)["seed"])
    assert len(seeds) == 2


def test_an_empty_destination_is_taken(tmp_path, photos):
    (tmp_path / "out").mkdir()
    split_folders(photos, tmp_path / "out", {"train": 0.5, "val": 0.5}, 0)
    assert (tmp_path / "out" / "train" / "ant").is_dir()


@pytest.mark.parametrize("kind", ["file in it", "a file", "inside", "around", "same", "link"])
def test_nothing_is_overwritten(tmp_path, photos, kind):
    dest = tmp_path / "out"
    if kind == "file in it":
        dest.mkdir()
        (dest / "x").write_text("kept")
    elif kind == "a file":
        dest.write_text("kept")
    elif kind == "link":
        (tmp_path / "empty").mkdir()
        dest.symlink_to(tmp_path / "empty")
    else:
        dest = {"inside": photos / "out", "around": tmp_path, "same": photos}[kind]
    before = content(tmp_path)
    with pytest.raises(RefusedError, match=r"DEST must (be empty or not there yet|lie outside SOURCE)"):
        split_folders(photos, dest, {"train": 0.5, "val": 0.5}, 0)
    assert content(tmp_path) == before


def test_a_copy_that_fails_leaves_nothing(tmp_path, photos, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nin_exp.data.split_folders.shutil.copy2", full)
    with pytest.raises(StorageError, match="out cannot be written: No space left on device"):
        split_folders(photos, tmp_path / "out", {"train": 0.5, "val": 0.5}, 0)
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "data split takes SOURCE and DEST, got 1 words"),
        (["a", "b", "--rate", "1"], r"--rate must lie in \(0, 1\), got 1"),
        (["a", "b", "--rate", "x"], "--rate must be a number, got 'x'"),
        (["a", "b", "--rate", "0.1", "--fractions", "0.5,0.5"], "--rate and --fractions say the same"),
        (
            ["a", "b", "--fractions", "0.5,0.4"],
            "--fractions must be 2 or 3 numbers .* got 0.5,0.4",
        ),
        (["a", "b", "--fractions", "1"], "--fractions must be 2 or 3 numbers above 0"),
        (["a", "b", "--seed=-1"], "--seed must be a whole number from 0, or random, got '-1'"),
    ],
)
def test_flags_are_checked(arguments, message):
    with pytest.raises(ConfigError, match=message):
        run(["split", *arguments])


def test_flags_of_split_are_of_split_alone():
    with pytest.raises(ConfigError, match="--rate belongs to `nin-exp data split`"):
        run(["list", "--rate", "0.1"])


def test_sources_that_cannot_be_split(tmp_path, write_folders):
    fractions = {"train": 0.5, "val": 0.5}
    with pytest.raises(DataError, match=r"SOURCE must be an existing folder, got '.*nowhere'"):
        split_folders(tmp_path / "nowhere", tmp_path / "out", fractions, 0)
    write_folders(tmp_path / "done" / "train", {"a": 2})
    with pytest.raises(DataError, match="done must hold one folder a class, but is split already"):
        split_folders(tmp_path / "done", tmp_path / "out", fractions, 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty must hold one folder a class, got none"):
        split_folders(tmp_path / "empty", tmp_path / "out", fractions, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(0, 1000), st.sampled_from([2, 3]))
def test_parts_take_their_shares_of_every_class(values, seed, count):
    labels = np.array(values, dtype=np.int64)
    fractions = [0.7, 0.3] if count == 2 else [0.6, 0.25, 0.15]
    parts = partition(labels, fractions, seed)
    for label in set(values):
        sizes = np.bincount(parts[labels == label], minlength=count)
        total = sizes.sum()
        assert (sizes > 0).sum() == min(count, total)
        assert (np.abs(sizes - total * np.array(fractions)) <= 1).all() or total < 12
