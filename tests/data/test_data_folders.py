from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from nin_exp.data.checks import check_source
from nin_exp.data.folders import scan_folders
from nin_exp.data.sources.flowers import Flowers
from nin_exp.data.sources.imagefolder import ImageFolder
from nin_exp.errors import DataError, RefusedError


@pytest.fixture
def folder_source(common):
    def make(root, **changes):
        arguments = (
            common | {"source": str(root), "image_size": 8, "test_fraction": 0.2, "unreadable": "error"} | changes
        )
        return ImageFolder(**arguments)

    return make


def test_class_folders_with_a_test_split_by_file_name(tmp_path, folder_source, write_folders):
    write_folders(tmp_path, {"b": 20, "a": 10})
    loaded = folder_source(tmp_path).load(tmp_path)
    assert loaded.class_names == ("a", "b")
    assert np.bincount(loaded.train.labels).tolist() == [8, 16]
    assert np.bincount(loaded.test.labels).tolist() == [2, 4]
    assert loaded.train.images.shape == (24, 8, 8, 3)
    assert loaded.files == (tmp_path,)


def test_the_test_split_follows_the_name_and_not_the_place_or_content(tmp_path, write_folders):
    write_folders(tmp_path / "one", {"a": 30, "b": 30})
    shutil.copytree(tmp_path / "one", tmp_path / "elsewhere")
    Image.new("RGB", (3, 3)).save(tmp_path / "elsewhere" / "a" / "img_0.png")
    first, second = (scan_folders(tmp_path / name, 0.2) for name in ("one", "elsewhere"))
    assert [first.name(p) for p in first.test.paths] == [second.name(p) for p in second.test.paths]


def test_separate_train_and_test(tmp_path, folder_source, write_folders):
    write_folders(tmp_path / "train", {"a": 4, "b": 5})
    write_folders(tmp_path / "test", {"a": 2, "b": 1})
    loaded = folder_source(tmp_path).load(tmp_path)
    assert (len(loaded.train), len(loaded.test)) == (9, 3)


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_val_is_test_where_there_is_none_and_training_where_there_is(tmp_path, folder_source, write_folders, val):
    write_folders(tmp_path / "train", {"a": 4, "b": 5})
    write_folders(tmp_path / val, {"a": 2, "b": 1})
    assert len(folder_source(tmp_path).load(tmp_path).test) == 3
    write_folders(tmp_path / "test", {"a": 1, "b": 1})
    loaded = folder_source(tmp_path).load(tmp_path)
    assert (len(loaded.train), len(loaded.test)) == (12, 2)
    assert loaded.notes["val_folder"] == f"3 images of {val}/ added to the training images"


def test_train_alone_gives_a_test_split(tmp_path, folder_source, write_folders):
    write_folders(tmp_path / "train", {"a": 10, "b": 10})
    loaded = folder_source(tmp_path).load(tmp_path)
    assert (len(loaded.train), len(loaded.test)) == (16, 4)


def test_a_class_called_train(tmp_path, folder_source, write_folders):
    write_folders(tmp_path, {"train": 5, "test": 5, "bus": 5})
    assert folder_source(tmp_path).load(tmp_path).class_names == ("bus", "test", "train")


def test_folders_below_classes_hidden_files_and_other_files(tmp_path, folder_source, write_folders):
    write_folders(tmp_path, {"a": 5, "b": 5})
    write_folders(tmp_path / "a", {"more": 2})
    (tmp_path / "a" / "notes.txt").write_text("by hand")
    (tmp_path / "a" / "._img_0.png").write_bytes(b"Finder's")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "LICENSE").write_text("")
    loaded = folder_source(tmp_path).load(tmp_path)
    assert len(loaded.train) + len(loaded.test) == 12
    assert loaded.class_names == ("a", "b")
    assert loaded.notes == {"files_ignored": 1}


def test_images_of_any_size_are_squashed(tmp_path, folder_source):
    for name, size in (("a", (20, 5)), ("b", (3, 30))):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", size, (i, i, i)).save(tmp_path / name / f"{i}.PNG")
    assert folder_source(tmp_path, image_size=6).load(tmp_path).train.images.shape == (4, 6, 6, 3)


def spoil(root):
    (root / "a" / "img_1.png").write_bytes(b"")
    (root / "b" / "img_2.png").write_bytes((root / "b" / "img_2.png").read_bytes()[:60])
    (root / "b" / "page.jpg").write_text("<html>")


def test_unreadable_files_are_all_named(tmp_path, folder_source, write_folders):
    spoil(write_folders(tmp_path, {"a": 10, "b": 10}))
    with pytest.raises(DataError, match=r"3 of 21 files cannot be read: .*; mend or remove them, or give") as caught:
        folder_source(tmp_path).load(tmp_path)
    message = str(caught.value)
    for name in ("a/img_1.png (not an image)", "b/img_2.png (", "b/page.jpg (not an image)", "dataset.unreadable=skip"):
        assert name in message
    assert "\n" not in message


def test_a_hundred_unreadable_files_are_named_and_more_are_not_an_endless_line(tmp_path, folder_source, write_folders):
    write_folders(tmp_path, {"a": 10, "b": 10})
    names = [f"a/bad_{i}.jpg" for i in range(103)]
    for name in names[:100]:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"100 of 120 files cannot be read: .*image\); mend") as caught:
        folder_source(tmp_path).load(tmp_path)
    assert all(name in str(caught.value) for name in names[:100])
    for name in names[100:]:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"103 of 123 .* and 3 more, which `nin-exp data check` names; mend"):
        folder_source(tmp_path).load(tmp_path)
    (finding,) = [f for f in check_source(folder_source(tmp_path), tmp_path) if f.code == "unreadable"]
    assert all(name in finding.message for name in names)


def test_unreadable_files_are_skipped_and_counted(tmp_path, folder_source, write_folders):
    spoil(write_folders(tmp_path, {"a": 10, "b": 10}))
    loaded = folder_source(tmp_path, unreadable="skip").load(tmp_path)
    assert len(loaded.train) + len(loaded.test) == 18
    assert loaded.notes["unreadable"] == 3
    assert sorted(loaded.notes["unreadable_files"]) == ["a/img_1.png", "b/img_2.png", "b/page.jpg"]


def test_skipped_rows_keep_images_and_labels_together(tmp_path, folder_source, write_folders):
    spoil(write_folders(tmp_path, {"a": 10, "b": 10}))
    loaded = folder_source(tmp_path, unreadable="skip", image_size=80).load(tmp_path)
    for split in (loaded.train, loaded.test):
        assert split.images[:, 0, -1, 2].tolist() == [40 + 50 * int(label) for label in split.labels]


def test_a_class_that_cannot_be_read_at_all(tmp_path, folder_source, write_folders):
    write_folders(tmp_path, {"a": 3, "b": 3})
    for path in (tmp_path / "b").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="none of the images of class 'b' can be read"):
        folder_source(tmp_path, unreadable="skip").load(tmp_path)


def test_a_bomb_stops_or_is_skipped(tmp_path, folder_source, write_folders, monkeypatch):
    write_folders(tmp_path, {"a": 5, "b": 5})
    Image.new("RGB", (100, 100)).save(tmp_path / "a" / "large.png")
    monkeypatch.setattr("nin_exp.data.images.MAX_PIXELS", 9_999)
    with pytest.raises(DataError, match=r"a/large\.png \(100x100 pixels, more than 9999\)"):
        folder_source(tmp_path).load(tmp_path)
    assert folder_source(tmp_path, unreadable="skip").load(tmp_path).notes["unreadable"] == 1


def test_bad_folders(tmp_path, folder_source, write_folders):
    with pytest.raises(DataError, match=r"dataset\.source must be an existing folder, got '.*nowhere'"):
        folder_source(tmp_path / "nowhere").load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"dataset\.source must be an existing folder, got '.*file'"):
        folder_source(tmp_path / "file").load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty must hold one folder a class, got none"):
        folder_source(tmp_path / "empty").load(tmp_path)
    write_folders(tmp_path / "holes", {"a": 3, "b": 0})
    with pytest.raises(DataError, match=r"holes/b must hold at least one image, got none"):
        folder_source(tmp_path / "holes").load(tmp_path)
    write_folders(tmp_path / "single", {"a": 3})
    with pytest.raises(DataError, match=r"single: labels of the training images must hold at least 2 classes"):
        folder_source(tmp_path / "single").load(tmp_path)
    write_folders(tmp_path / "few", {"a": 1, "b": 1})
    with pytest.raises(DataError, match="few must hold a class with at least 2 images, to cut a test split"):
        folder_source(tmp_path / "few").load(tmp_path)


def test_bad_test_folders(tmp_path, folder_source, write_folders):
    write_folders(tmp_path / "train", {"a": 3, "b": 3})
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match="test must hold one folder a class, got none"):
        folder_source(tmp_path).load(tmp_path)
    write_folders(tmp_path / "test", {"a": 3, "c": 3})
    with pytest.raises(DataError, match=r"test must hold classes of train only, got 'c'"):
        folder_source(tmp_path).load(tmp_path)


@pytest.mark.parametrize("kind", ["file", "folder", "class"])
def test_links_that_leave_the_root_are_refused(tmp_path, folder_source, write_folders, kind):
    root = write_folders(tmp_path / "root", {"a": 5, "b": 5})
    outside = write_folders(tmp_path / "outside", {"c": 3}) / "c"
    link = {"file": root / "a" / "x.png", "folder": root / "a" / "deeper", "class": root / "c"}[kind]
    link.symlink_to(outside / "img_0.png" if kind == "file" else outside)
    with pytest.raises(RefusedError, match=rf"{link.name} must not lead out of .*root, got a link to .*outside"):
        folder_source(root).load(tmp_path)


def test_a_link_to_a_sibling_with_the_same_beginning_is_refused(tmp_path, folder_source, write_folders):
    root = write_folders(tmp_path / "root", {"a": 5, "b": 5})
    write_folders(tmp_path / "root2", {"c": 1})
    (root / "a" / "x.png").symlink_to("../../root2/c/img_0.png")
    with pytest.raises(RefusedError, match="must not lead out of"):
        folder_source(root).load(tmp_path)


def test_links_inside_the_root_and_to_the_root_are_followed(tmp_path, folder_source, write_folders):
    root = write_folders(tmp_path / "root", {"a": 5, "b": 5})
    (root / "b" / "copy.png").symlink_to(root / "b" / "img_0.png")
    (tmp_path / "link").symlink_to(root)
    loaded = folder_source(tmp_path / "link").load(tmp_path)
    assert len(loaded.train) + len(loaded.test) == 11


def test_links_in_a_circle(tmp_path, folder_source, write_folders):
    root = write_folders(tmp_path / "root", {"a": 5, "b": 5})
    (root / "a" / "x.png").symlink_to(root / "a" / "y.png")
    (root / "a" / "y.png").symlink_to(root / "a" / "x.png")
    # Python 3.13 no longer calls it a circle when it resolves the link; reading the file does.
    with pytest.raises((RefusedError, DataError), match=r"[xy]\.png"):
        folder_source(root).load(tmp_path)


def test_image_size_and_source_are_required(common):
    with pytest.raises(ValueError, match="image_size must be an integer, got null"):
        ImageFolder(**(common | {"source": "x"}), test_fraction=0.2, unreadable="error")
    with pytest.raises(ValueError, match="source must be a string, got null"):
        ImageFolder(**(common | {"image_size": 8}), test_fraction=0.2, unreadable="error")


@pytest.fixture
def flowers(common):
    def make(**changes):
        return Flowers(**(common | {"image_size": 8, "unreadable": "error"} | changes))

    return make


@pytest.mark.parametrize("name", ["flowers", "flower_photos"])
def test_flowers_are_found_in_the_data_folder(tmp_path, flowers, write_folders, name):
    assert flowers().locate(tmp_path).origin == "download"
    write_folders(tmp_path / name, {"daisy": 10, "roses": 5})
    assert flowers().locate(tmp_path).num_train == 12
    assert flowers().load(tmp_path).class_names == ("daisy", "roses")
    assert flowers(source=str(tmp_path / name)).load(tmp_path / "none").train.images.shape == (12, 8, 8, 3)


def test_prepared_flowers_serve_their_own_size_only(tmp_path, flowers, write_folders):
    from nin_exp.data.formats.npz import write_npz

    write_folders(tmp_path / "flowers", {"daisy": 10, "roses": 5})
    write_npz(flowers().load(tmp_path), tmp_path / "flowers.npz")
    assert flowers().locate(tmp_path).origin == "npz"
    assert flowers(image_size=16).locate(tmp_path).origin == "folders"
    assert len(flowers().load(tmp_path).train) == 12


def test_flowers_that_cannot_be_fetched(tmp_path, flowers, monkeypatch):
    from nin_exp.data.download import RemoteFile

    closed = RemoteFile("flower_photos.tgz", ("http://127.0.0.1:9/f.tgz",), "0" * 64, "sha256")
    monkeypatch.setattr("nin_exp.data.sources.flowers._ARCHIVE", closed)
    with pytest.raises(DataError, match=r"flowers is not in .*could not be fetched .*dataset\.source=PATH"):
        flowers().load(tmp_path)
