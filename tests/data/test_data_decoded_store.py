"""Class folders are decoded once: by the first run, as far as it came, whatever happens to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nin_exp.data import decode, decoded_store
from nin_exp.data.fingerprint import fingerprint
from nin_exp.data.images import read_image
from nin_exp.data.sources.imagefolder import ImageFolder
from nin_exp.errors import DataError

SRC = Path(decode.__file__).parents[2]


@pytest.fixture
def source(common, tmp_path, write_folders):
    """Makes the source of 25 images, by default; 4 of them are a chunk."""
    root = write_folders(tmp_path / "photos", {"ant": 15, "bee": 10})

    def make(**changes):
        given = {"source": str(root), "image_size": 6, "test_fraction": 0.2, "unreadable": "error"}
        return ImageFolder(**(common | given | changes))

    return make


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that are decoded, in chunks of 4 images of 6x6x3."""
    names: list[str] = []

    def read(path, **arguments):
        names.append(path.name)
        return read_image(path, **arguments)

    monkeypatch.setattr(decode, "read_image", read)
    monkeypatch.setattr(decoded_store, "_CHUNK_BYTES", 4 * 6 * 6 * 3)
    return names


def images_file(data_dir: Path) -> Path:
    (found,) = data_dir.glob(".cache/decoded-*/images.bin")
    return found


def test_the_second_run_decodes_nothing(tmp_path, source, decoded):
    first = source().load(tmp_path / "data")
    assert len(decoded) == 25
    again = source().load(tmp_path / "data")
    assert len(decoded) == 25
    assert fingerprint(first) == fingerprint(again) == fingerprint(source().load(tmp_path / "elsewhere"))
    assert again.files == first.files


def test_images_are_those_of_their_files(tmp_path, source):
    loaded = source().decode(tmp_path / "data")
    for part in (loaded.train, loaded.test, source().decode(tmp_path / "data").train):
        for path, image in zip(part.kept.paths, part.images, strict=True):
            assert np.array_equal(image, read_image(path, channels=3, image_size=6))


def test_the_store_is_mapped_and_what_a_run_holds_is_its_own(tmp_path, source, monkeypatch):
    kinds = []
    original = decoded_store._Store.load

    def load(store, decode):
        kinds.append(type((found := original(store, decode)).images))
        return found

    monkeypatch.setattr(decoded_store._Store, "load", load)
    loaded = source().load(tmp_path / "data")
    assert kinds == [np.memmap]
    before = loaded.train.images.copy()
    for array in (loaded.train.images, loaded.test.images):
        assert type(array) is np.ndarray
        assert array.base is None or type(array.base) is np.ndarray
    images_file(tmp_path / "data").write_bytes(bytes(25 * 6 * 6 * 3))
    assert np.array_equal(loaded.train.images, before)


def test_another_test_split_decodes_nothing_and_another_size_everything(tmp_path, source, decoded):
    source().load(tmp_path / "data")
    half = source(test_fraction=0.5).load(tmp_path / "data")
    assert (len(half.test), len(decoded)) == (12, 25)
    assert source(image_size=5).load(tmp_path / "data").train.images.shape[1:] == (5, 5, 3)
    assert len(decoded) == 50


def test_only_the_chunk_of_a_changed_file_is_decoded_again(tmp_path, source, decoded):
    before = source().load(tmp_path / "data")
    path = tmp_path / "photos" / "bee" / "img_3.png"
    Image.new("RGB", (10, 8), (1, 2, 3)).save(path)
    del decoded[:]
    after = source().load(tmp_path / "data")
    assert path.name in decoded
    assert len(decoded) <= 4
    assert fingerprint(after) != fingerprint(before)
    assert fingerprint(after) == fingerprint(source().load(tmp_path / "elsewhere"))


@pytest.mark.parametrize("change", ["add", "remove"])
def test_files_that_come_and_go(tmp_path, source, change):
    source().load(tmp_path / "data")
    path = tmp_path / "photos" / "ant" / "img_5.png"
    if change == "add":
        path.with_name("another.png").write_bytes(path.read_bytes())
    else:
        path.unlink()
    loaded = source().load(tmp_path / "data")
    assert len(loaded.train) + len(loaded.test) == (26 if change == "add" else 24)
    assert fingerprint(loaded) == fingerprint(source().load(tmp_path / "elsewhere"))
    assert images_file(tmp_path / "data").stat().st_size == (26 if change == "add" else 24) * 6 * 6 * 3


@pytest.mark.parametrize("damage", ["flip", "truncate", "journal", "half a line", "remove"])
def test_damage_is_found_and_mended(tmp_path, source, decoded, damage):
    before = source().load(tmp_path / "data")
    path = images_file(tmp_path / "data")
    journal = path.with_name("chunks.jsonl")
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[500] ^= 1
        path.write_bytes(content)
    elif damage == "truncate":
        path.write_bytes(content[:1000])
    elif damage == "journal":
        journal.write_text('{"start": "x"}\n[]\n\xff\n')
    elif damage == "half a line":
        journal.write_bytes(journal.read_bytes()[:-30])
    else:
        path.unlink()
    del decoded[:]
    assert fingerprint(source().load(tmp_path / "data")) == fingerprint(before)
    assert len(decoded) == {"flip": 4, "half a line": 1}.get(damage, len(decoded))
    assert decoded
    del decoded[:]
    source().load(tmp_path / "data")
    assert not decoded


def test_a_run_that_is_killed_leaves_what_it_has_decoded(tmp_path, source, decoded):
    """A process that decodes slowly is killed in the middle; the next one decodes only the rest."""
    code = (
        "import sys, time\n"
        "from nin_exp.data import decode, decoded_store\n"
        "from nin_exp.data.sources.imagefolder import ImageFolder\n"
        "decoded_store._CHUNK_BYTES = 4 * 6 * 6 * 3\n"
        "original, decode._MAX_THREADS = decode.read_image, 1\n"
        "def slowly(path, **arguments):\n"
        "    time.sleep(0.03)\n"
        "    return original(path, **arguments)\n"
        "decode.read_image = slowly\n"
        "ImageFolder(source=sys.argv[1], image_size=6, test_fraction=0.2, unreadable='error', val_fraction=0.1,\n"
        "    preprocess='unit', train_fraction=1.0, train_limit=None).load(decode.Path(sys.argv[2]))\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "photos"), str(tmp_path / "data")]
    source()  # writes the photos
    process = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": str(SRC)})
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            journals = list((tmp_path / "data").glob(".cache/decoded-*/chunks.jsonl"))
            if journals and journals[0].read_bytes().count(b'"start"') >= 2:
                break
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -9, "it ended before it could be killed"
    loaded = source().load(tmp_path / "data")
    assert len(decoded) <= 25 - 8
    assert fingerprint(loaded) == fingerprint(source().load(tmp_path / "elsewhere"))


def test_unreadable_files_are_remembered_with_their_reasons_and_read_once_mended(tmp_path, source, decoded):
    path = tmp_path / "photos" / "ant" / "img_2.png"
    good = path.read_bytes()
    path.write_text("<html>404</html>")
    messages = []
    for _ in range(2):
        with pytest.raises(DataError, match=r"1 of 25 files cannot be read: ant/img_2\.png \(not an image\)") as caught:
            source().load(tmp_path / "data")
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert len(decoded) == 25
    skipped = source(unreadable="skip").load(tmp_path / "data")
    assert skipped.notes["unreadable_files"] == ["ant/img_2.png"]
    assert len(skipped.train) + len(skipped.test) == 24
    path.write_bytes(good)
    assert len(source().load(tmp_path / "data").train) == 20
    assert len(decoded) <= 29


def test_jobs_at_the_same_time_decode_once(tmp_path, source, decoded):
    with ThreadPoolExecutor(3) as pool:
        found = set(pool.map(lambda _: fingerprint(source().load(tmp_path / "data")), range(3)))
    assert len(found) == 1
    assert len(decoded) == 25


def test_without_a_writable_data_folder_everything_is_decoded(tmp_path, source, decoded, caplog):
    (tmp_path / "data").write_text("a file")
    assert len(source().load(tmp_path / "data").train) == 20
    assert "decoded images are not kept" in caplog.text
    assert len(decoded) == 25


def test_a_full_disk_stops_nothing(tmp_path, source, caplog, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded_store._Store, "_chunk_at", full)
    assert len(source().load(tmp_path / "data").train) == 20
    assert "No space left on device" in caplog.text


def test_the_journal_does_not_grow(tmp_path, source, decoded):
    path = tmp_path / "photos" / "ant" / "img_2.png"
    sizes = set()
    for shade in range(4):
        Image.new("RGB", (10, 8), (shade, 0, 0)).save(path)
        source().load(tmp_path / "data")
        lines = images_file(tmp_path / "data").with_name("chunks.jsonl").read_text().splitlines()
        assert all(json.loads(line)["sha256"] for line in lines)
        sizes.add(len(lines))
    assert sizes == {7}
