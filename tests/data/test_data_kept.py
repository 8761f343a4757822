"""What runs keep in the data folder can be listed and cleared, but not under a process that uses it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nin_exp.cli.data import run
from nin_exp.data.decoded_store import CACHE_FOLDER
from nin_exp.data.download import only_one
from nin_exp.data.kept import clear, kept
from nin_exp.data.preprocess.gcn import GlobalContrast
from nin_exp.data.preprocess.whitening_file import cached_whitening
from nin_exp.data.sources.imagefolder import ImageFolder
from nin_exp.errors import ConfigError


@pytest.fixture
def folders(common, tmp_path, write_folders):
    root = write_folders(tmp_path / "photos", {"ant": 6, "bee": 6})
    given = {"source": str(root), "image_size": 6, "test_fraction": 0.2, "unreadable": "error"}
    return ImageFolder(**(common | given))


@pytest.fixture
def data_dir(tmp_path, folders, images) -> Path:
    """Holds a store of twelve decoded images and a whitening of 12 values."""
    folders.load(tmp_path / "data")
    cached_whitening(images(20, (2, 2, 3), 0), GlobalContrast(55.0, 1e-8), 0.1, tmp_path / "data", "key")
    return tmp_path / "data"


def test_entries_say_what_they_are(data_dir, tmp_path):
    found = {entry.kind: entry for entry in kept(data_dir)}
    assert set(found) == {"decoded", "whitening"}
    assert found["decoded"].about == f"{tmp_path / 'photos'} at 6x6x3"
    assert found["decoded"].num_bytes > 12 * 6 * 6 * 3
    assert found["whitening"].about == "12 values an image"
    assert found["whitening"].num_bytes == found["whitening"].path.stat().st_size


def test_what_is_cleared_is_made_anew(data_dir, folders):
    before = folders.load(data_dir).train.images
    removed, left = clear(data_dir)
    assert (len(removed), left, kept(data_dir)) == (2, [], [])
    assert np.array_equal(folders.load(data_dir).train.images, before)
    assert [entry.kind for entry in kept(data_dir)] == ["decoded"]


def test_an_entry_in_use_stays(data_dir):
    (store,) = (entry.path for entry in kept(data_dir) if entry.kind == "decoded")
    with only_one(store.parent, store.name):
        removed, left = clear(data_dir)
    assert [entry.kind for entry in removed] == ["whitening"]
    assert [entry.path for entry in left] == [store]


def test_damaged_entries_and_other_files(data_dir):
    folder = data_dir / CACHE_FOLDER
    for entry in kept(data_dir):
        if entry.kind == "decoded":
            (entry.path / "about.txt").unlink()
        else:
            entry.path.write_bytes(b"PK")
    (folder / "notes.txt").write_text("mine")
    assert {entry.about for entry in kept(data_dir)} == {"unknown", "damaged"}
    assert len(clear(data_dir)[0]) == 2
    assert (folder / "notes.txt").is_file()


def test_the_verb(data_dir, capsys):
    assert run(["cache", f"data_dir={data_dir}"]) == 0
    shown = capsys.readouterr().out
    assert "decoded: " in shown
    assert "--clear removes them, and runs make them anew" in shown
    assert run(["cache", "--clear", "--json", f"data_dir={data_dir}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (len(found["removed"]), found["kept"]) == (2, [])
    assert run(["cache", f"data_dir={data_dir / 'nowhere'}"]) == 0
    assert "0.0 MB kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "--clear"], "--clear belongs to `nin-exp data cache`, not to `data list`"),
        (["cache", "mnist"], "data cache takes no name, got 'mnist'"),
        (["list", "mnist"], "data list takes no name, got 'mnist'"),
        (["list", "sed=3"], "sed is unknown. Did you mean 'seed'"),
        (
            ["check", "mnist", "dataset.image_size=8,16"],
            "data takes one value a key, got the list dataset.im",
        ),
    ],
)
def test_words_that_do_not_belong_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        run(words)
