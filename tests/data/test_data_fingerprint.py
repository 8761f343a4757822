from __future__ import annotations

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from nin_exp.data.fingerprint import changed, fingerprint, stamp


def test_everything_that_counts_changes_the_fingerprint(make_loaded):
    loaded = make_loaded()
    images = loaded.train.images.copy()
    images[3, 2, 1, 0] ^= 1
    labels = loaded.test.labels.copy()
    labels[0] = 3
    boxes = np.tile([0, 0, 8, 8], (40, 1))
    variants = [
        loaded,
        replace(loaded, train=replace(loaded.train, images=images)),
        replace(loaded, test=replace(loaded.test, labels=labels)),
        replace(loaded, train=replace(loaded.train, boxes=boxes)),
        replace(loaded, class_names=("a", "b", "c", "d")),
        replace(loaded, class_names=(*loaded.class_names, "e")),
        replace(loaded, train=loaded.test, test=loaded.train),
        replace(loaded, train=replace(loaded.train, images=loaded.train.images.reshape(40, 4, 16, 3))),
    ]
    assert len({fingerprint(v) for v in variants}) == len(variants)
    assert all(len(fingerprint(v)) == 64 for v in variants)


def test_names_and_layout_in_memory_do_not_count(make_loaded, tmp_path):
    loaded = make_loaded()
    strided = np.asfortranarray(loaded.train.images)
    other = replace(loaded, files=(tmp_path,), notes={"a": 1}, train=replace(loaded.train, images=strided))
    assert fingerprint(other) == fingerprint(loaded)
    assert fingerprint(replace(loaded, class_names=("ab", "c", "d", "e"))) != fingerprint(
        replace(loaded, class_names=("a", "bc", "d", "e"))
    )


def test_a_stamp_says_what_sha256sum_says(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    found = stamp(path)
    # FIPS 180-2, appendix B.1
    assert found["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (found["path"], found["size"], found["mtime_ns"]) == (str(path), 3, path.stat().st_mtime_ns)


def test_a_touched_file_is_unchanged_and_an_edited_one_is_not(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    old = stamp(path)
    assert changed([old]) == []
    os.utime(path, ns=(1, 1))
    assert changed([old]) == []
    path.write_bytes(b"abd")
    assert changed([old]) == [path]
    path.unlink()
    assert changed([old]) == []


def test_equal_size_and_time_are_not_read(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    old = stamp(path)
    monkeypatch.setattr("nin_exp.data.fingerprint._sha256", lambda _path: pytest.fail("the file was read"))
    assert changed([old]) == []


def add(root):
    (root / "a" / "new.png").write_bytes(b"new")


def remove(root):
    (root / "a" / "1.png").unlink()


def rename(root):
    (root / "a" / "1.png").rename(root / "b" / "1.png")


def edit(root):
    (root / "b" / "2.png").write_bytes(b"TWO")


@pytest.mark.parametrize("edit_folder", [add, remove, rename, edit])
def test_folders(tmp_path, edit_folder):
    root = tmp_path / "root"
    for name in ("a/1.png", "b/2.png"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"two")
    old = stamp(root)
    assert old["size"] == 6
    for path in (*root.rglob("*"), root):
        os.utime(path, ns=(10**18, 10**18))
    assert changed([old]) == []
    edit_folder(root)
    assert changed([old]) == [root]
    shutil.rmtree(root)
    assert changed([old]) == []
