"""A user's .npz: what is accepted, and one line for everything that is not."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nin_exp.data.formats.npz import read_shapes
from nin_exp.data.formats.npz import write_npz as write_loaded
from nin_exp.data.sources.arrays import Arrays
from nin_exp.errors import DataError, NinExpError, StorageError


def load(path, common, **changes):
    source = Arrays(**(common | {"source": str(path), "test_fraction": 0.25} | changes))
    return source.load(path.parent)


def test_reads_what_was_written(tmp_path, common, write_npz):
    path = write_npz(tmp_path / "a.npz")
    loaded = load(path, common)
    with np.load(path) as file:
        assert np.array_equal(loaded.train.images, file["x_train"])
        assert np.array_equal(loaded.test.labels, file["y_test"])
    assert loaded.class_names == ("ant", "bee", "cow")
    assert loaded.files == (path,)
    assert loaded.train.labels.dtype == np.int64


def test_grey_images_gain_a_channel(tmp_path, common, write_npz, images):
    path = write_npz(tmp_path / "a.npz", x_train=images(12, (6, 5), 0), x_test=images(6, (6, 5), 1))
    assert load(path, common).train.images.shape == (12, 6, 5, 1)


def test_class_names_default_to_numbers(tmp_path, common, write_npz):
    assert load(write_npz(tmp_path / "a.npz", class_names=None), common).class_names == ("0", "1", "2")


def test_a_named_class_may_have_no_image(tmp_path, common, write_npz):
    path = write_npz(tmp_path / "a.npz", class_names=np.array(["a", "b", "c", "never seen"]))
    assert len(load(path, common).class_names) == 4


def test_without_test_arrays_the_same_images_are_test_whatever_their_order(tmp_path, common, write_npz, images):
    pictures = images(40, (4, 4), 3)
    labels = np.arange(40) % 2
    order = np.random.default_rng(0).permutation(40)
    found = []
    for name, rows in (("a", np.arange(40)), ("b", order)):
        path = write_npz(
            tmp_path / f"{name}.npz",
            x_train=pictures[rows],
            y_train=labels[rows],
            x_test=None,
            y_test=None,
            class_names=None,
        )
        loaded = load(path, common)
        assert "by a hash" in loaded.notes["test_split"]
        assert len(loaded.train) == 30
        found.append({image.tobytes() for image in loaded.test.images})
    assert found[0] == found[1]
    assert len(found[0]) == 10


def test_copies_never_stand_in_both_splits(tmp_path, common, write_npz, images):
    pictures = np.concatenate([images(30, (4, 4), 3)] * 2)
    labels = np.tile(np.arange(30) % 3, 2)
    path = write_npz(tmp_path / "a.npz", x_train=pictures, y_train=labels, x_test=None, y_test=None)
    loaded = load(path, common)
    train, test = ({image.tobytes() for image in split.images} for split in (loaded.train, loaded.test))
    assert not train & test


def test_boxes_are_read(tmp_path, common, write_npz):
    boxes = np.tile([0, 1, 6, 6], (12, 1))
    path = write_npz(tmp_path / "a.npz", boxes_train=boxes, boxes_test=boxes[:6])
    assert load(path, common).train.boxes.tolist() == boxes.tolist()


BAD = {
    "float images": ({"x_train": np.zeros((12, 6, 6, 3), np.float32)}, r"x_train must be uint8, got float32"),
    "signed images": ({"x_test": np.zeros((6, 6, 6, 3), np.int8)}, r"x_test must be uint8, got int8"),
    "flat images": ({"x_train": np.zeros((12, 36), np.uint8)}, r"x_train must be N x H x W .* got 12x36"),
    "channels first": (
        {"x_train": np.zeros((12, 3, 28, 28), np.uint8)},
        r"channels last, got 12x3x28x28; transpose it",
    ),
    "no image": ({"x_train": np.zeros((0, 6, 6, 3), np.uint8), "y_train": np.zeros(0, int)}, r"at least one image"),
    "no pixel": ({"x_train": np.zeros((12, 0, 6, 3), np.uint8)}, r"at least 1x1 pixels, got 12x0x6x3"),
    "fewer labels": ({"y_train": np.arange(11) % 3}, r"y_train must hold one label for each of the 12 images, got 11"),
    "one-hot labels": (
        {"y_train": np.eye(3, dtype=int)[np.arange(12) % 3]},
        r"y_train must be one label an image.*12x3",
    ),
    "column of labels": (
        {"y_test": np.zeros((6, 1), int)},
        r"y_test must be one label an image, shape \(6,\), got 6x1",
    ),
    "one number": ({"y_test": np.array(3)}, r"y_test must be one label an image.* got a single number"),
    "float labels": ({"y_train": np.arange(12) % 3 + 0.0}, r"y_train must be integers, got float64 \(0\.0 in row 0\)"),
    "half label": ({"y_train": np.array([0, 1, 2, 0, 1.5, *[0] * 7])}, r"integers, got float64 \(1\.5 in row 4\)"),
    "NaN label": ({"y_train": np.array([0, 1, np.nan, *[0] * 9])}, r"integers, got float64 \(nan in row 2\)"),
    "boolean labels": ({"y_train": np.array([True, False] * 6)}, r"y_train must be integers, got bool"),
    "text labels": ({"y_train": np.array(["ant"] * 12)}, r"y_train must be integers, got <U3 \(ant in row 0\)"),
    "negative label": ({"y_train": np.array([0, 1, 2, -1, *[0] * 8])}, r"y_train must be 0 or more, got -1 in row 3"),
    "label too large": (
        {"y_test": np.array([0, 1, 2, 0, 3, 1])},
        r"y_test must lie in 0…2 \(3 classes\), got 3 in row 4",
    ),
    "huge label": ({"y_train": np.array([2**64 - 1, *[0] * 11], np.uint64)}, r"got 18446744073709551615 in row 0"),
    "one class": ({"y_train": np.ones(12, int)}, r"y_train must hold at least 2 classes, got only class 1"),
    "other size": ({"x_test": np.zeros((6, 7, 6, 3), np.uint8)}, r"x_test must have images .* 6x6x3, got 7x6x3"),
    "other channels": ({"x_test": np.zeros((6, 6, 6), np.uint8)}, r"training shape 6x6x3, got 6x6x1"),
    "no x_train": (
        {"x_train": None, "X_train": np.zeros(3)},
        r"key x_train is missing, got X_train, class_names, x_test",
    ),
    "no y_train": ({"y_train": None}, r"key y_train is missing"),
    "x_test alone": ({"y_test": None}, r"key y_test is missing; give both"),
    "gap without names": (
        {"class_names": None, "y_train": np.array([0, 1, 255] * 4)},
        r"must number the classes 0…K-1 without a gap, got no label 3 but 255|got no label 2 but 255",
    ),
    "double name": (
        {"class_names": np.array(["a", "b", "a"])},
        r"class_names must differ from each other, got 'a' twice",
    ),
    "empty name": ({"class_names": np.array(["a", "", "b"])}, r"class_names must not be empty, got '' in row 1"),
    "numbers as names": ({"class_names": np.arange(3)}, r"class_names must be a list of strings, got int64"),
    "pickled objects": ({"class_names": np.array([{"a": 1}], dtype=object)}, r"holds Python objects"),
    "bad boxes": ({"boxes_train": np.zeros((12, 3), int)}, r"boxes of .*x_train must be integers of shape \(12, 4\)"),
    "box outside": ({"boxes_train": np.tile([0, 0, 7, 6], (12, 1))}, r"inside 6x6 pixels, got \[0, 0, 7, 6\] in row 0"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD.keys())
def test_bad_arrays(tmp_path, common, write_npz, changes, message):
    path = write_npz(tmp_path / "mine.npz", **changes)
    with pytest.raises(DataError, match=message) as caught:
        load(path, common)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"must be an \.npz file: File is not a zip file"),
        (b"<html>404</html>", r"must be an \.npz file"),
        (b"PK\x03\x04" + b"\0" * 50, r"must be an \.npz file"),
    ],
)
def test_files_that_are_no_npz(tmp_path, common, content, message):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "bad.npz", common)


def test_missing_file(tmp_path, common):
    with pytest.raises(DataError, match=r"dataset\.source must be an existing \.npz file, got .*no\.npz"):
        load(tmp_path / "no.npz", common)


def test_a_header_that_promises_terabytes_allocates_nothing(tmp_path, common, write_npz):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }"
        header += b" " * (117 - len(header)) + b"\n"
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"123")
        archive.writestr("y_train.npy", b"")
    with pytest.raises(DataError, match="does not hold the 1000000000000 values its header promises"):
        load(path, common)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path_factory, write_npz, data):
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    write_npz(path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    source = Arrays(
        source=str(path),
        image_size=None,
        val_fraction=0.1,
        preprocess="unit",
        train_fraction=1.0,
        train_limit=None,
        test_fraction=0.2,
    )
    message = ""
    try:
        assert source.load(path.parent).train.images.dtype == np.uint8
    except NinExpError as error:
        message = str(error)
    assert "\n" not in message


def test_written_file_is_read_back_with_its_boxes(tmp_path, common, make_loaded):
    from dataclasses import replace

    loaded = make_loaded(shape=(8, 8, 1))
    boxes = np.tile([1, 2, 5, 6], (len(loaded.train), 1))
    loaded = replace(loaded, train=replace(loaded.train, boxes=boxes))
    write_loaded(loaded, tmp_path / "a.npz")
    again = load(tmp_path / "a.npz", common)
    assert np.array_equal(again.train.images, loaded.train.images)
    assert np.array_equal(again.train.boxes, boxes)
    assert again.class_names == loaded.class_names
    assert read_shapes(tmp_path / "a.npz")["x_train"] == (40, 8, 8)


def test_equal_data_give_equal_files(tmp_path, make_loaded):
    for name in ("a", "b"):
        write_loaded(make_loaded(), tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path, make_loaded, monkeypatch):
    path = tmp_path / "a.npz"
    write_loaded(make_loaded(), path)
    before = path.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_loaded(make_loaded(num_train=20), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_arguments_are_checked(common):
    with pytest.raises(ValueError, match=r"test_fraction must lie in \(0, 1\), got 1"):
        Arrays(**(common | {"source": "a.npz", "test_fraction": 1.0}))
    with pytest.raises(ValueError, match="source must be a string, got null"):
        Arrays(**common, test_fraction=0.5)
    with pytest.raises(ValueError, match="preprocess must be one of standardize, centered, signed, unit"):
        Arrays(**(common | {"source": "a.npz", "preprocess": "zca"}), test_fraction=0.5)
