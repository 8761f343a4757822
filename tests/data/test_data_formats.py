"""The files of MNIST, CIFAR and SVHN, damaged and hostile ones included."""

from __future__ import annotations

import gzip
import os
import pickle

import numpy as np
import pytest
from scipy.io import savemat

from nin_exp.data.formats.cifar import read_batch, read_names
from nin_exp.data.formats.idx import read_idx, read_idx_shape
from nin_exp.data.formats.svhn import read_mat, read_mat_shape
from nin_exp.errors import DataError, RefusedError


@pytest.mark.parametrize("zipped", [False, True])
def test_idx(tmp_path, write_idx, zipped):
    arrays = write_idx(tmp_path, zipped=zipped)
    for name, expected in arrays.items():
        path = tmp_path / (name + (".gz" if zipped else ""))
        assert np.array_equal(read_idx(path, expected.ndim), expected)
        assert read_idx_shape(path, expected.ndim) == expected.shape


GOOD_IDX = bytes((0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got a header of 0 bytes"),
        (b"<html>", "must be an idx file of bytes with 1"),
        (GOOD_IDX[:10], r"must hold 3 bytes as its header says, got only 2"),
        (GOOD_IDX + b"!", "must hold 3 bytes as its header says, got more"),
        (bytes((0, 0, 13, 1, 0, 0, 0, 3)), "got a header 00000d01"),
        (bytes((0, 0, 8, 1, 255, 255, 255, 255)), "got only 0"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_bad_idx(tmp_path, content, message, zipped):
    path = tmp_path / ("labels.gz" if zipped else "labels")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=message):
        read_idx(path, 1)


def test_idx_with_a_damaged_gzip(tmp_path):
    content = gzip.compress(GOOD_IDX)
    (tmp_path / "cut.gz").write_bytes(content[:-6])
    (tmp_path / "text.gz").write_bytes(b"not gzip at all")
    for name in ("cut.gz", "text.gz"):
        with pytest.raises(DataError, match=r"cannot be read: .*; fetch it again"):
            read_idx(tmp_path / name, 1)


def test_cifar_batch(tmp_path, write_cifar):
    batches = write_cifar(tmp_path)
    images, labels = read_batch(tmp_path / "data_batch_2", "labels")
    assert np.array_equal(images, batches["data_batch_2"][0])
    assert labels.tolist() == batches["data_batch_2"][1]
    assert read_names(tmp_path / "batches.meta", "label_names")[3] == "name3"


@pytest.mark.parametrize("protocol", range(6))
def test_cifar_batch_of_every_pickle_protocol(tmp_path, protocol):
    data = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)
    (tmp_path / "b").write_bytes(pickle.dumps({"data": data, "labels": [0, 1]}, protocol=protocol))
    if protocol == 5:  # its arrays are made by another function of NumPy; no publisher uses it
        with pytest.raises(RefusedError, match=r"names numpy.*_frombuffer"):
            read_batch(tmp_path / "b", "labels")
        return
    images, _ = read_batch(tmp_path / "b", "labels")
    assert images[1, 0, 1].tolist() == [data[1, 1], data[1, 1025], data[1, 2049]]


class RunsACommand:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


class Encodes:
    def __reduce__(self):
        import codecs

        return codecs.encode, ("a" * 10, "hex")


@pytest.mark.parametrize("place", ["root", "value", "list"])
def test_a_pickle_cannot_run_code(tmp_path, place):
    canary = tmp_path / "canary"
    attack = RunsACommand(canary)
    content = {"root": attack, "value": {"data": attack}, "list": {"labels": [1, [attack]]}}[place]
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(
        RefusedError, match=r"data_batch_1 must hold plain arrays, but names .*system, which could run code"
    ):
        read_batch(tmp_path / "data_batch_1", "labels")
    assert not canary.exists()


@pytest.mark.parametrize(
    "payload",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"cos\nsystem\n.",
    ],
)
def test_other_names_are_refused(tmp_path, payload):
    (tmp_path / "b").write_bytes(payload)
    with pytest.raises(RefusedError, match="which could run code"):
        read_batch(tmp_path / "b", "labels")


def test_other_codecs_are_not_called(tmp_path):
    (tmp_path / "b").write_bytes(pickle.dumps(Encodes(), protocol=2))
    with pytest.raises(DataError, match="must be a CIFAR batch: ValueError"):
        read_batch(tmp_path / "b", "labels")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a CIFAR batch: EOFError"),
        (b"<html>", "must be a CIFAR batch"),
        (pickle.dumps([1, 2]), "key data is missing"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8)}, 2), "key labels is missing"),
        (pickle.dumps({"data": [1], "labels": [1]}), "data must be uint8 N x 3072, got list"),
        (pickle.dumps({"data": np.zeros((2, 10), np.uint8), "labels": [1, 2]}, 2), "got 2x10 uint8"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.float32), "labels": [1, 2]}, 2), "got 2x3072 float32"),
        (
            pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1, [2]]}, 2),
            "labels must be a list of class numbers",
        ),
    ],
)
def test_bad_cifar_batch(tmp_path, content, message):
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_batch(tmp_path / "b", "labels")


def test_cifar_cut_anywhere(tmp_path, write_cifar):
    write_cifar(tmp_path, per_batch=1)
    content = (tmp_path / "test_batch").read_bytes()
    for length in range(0, len(content), 97):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(DataError, match="must be a CIFAR batch"):
            read_batch(tmp_path / "cut", "labels")


def test_cifar_names_must_be_text(tmp_path):
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": [1, 2]}))
    with pytest.raises(DataError, match="fine_label_names must be a list of strings"):
        read_names(tmp_path / "meta", "fine_label_names")


def test_svhn(tmp_path, images):
    pictures = images(5, (32, 32, 3), 0)
    savemat(
        tmp_path / "a.mat", {"X": pictures.transpose(1, 2, 3, 0), "y": np.array([[1], [10], [9], [10], [2]], np.uint8)}
    )
    found, labels = read_mat(tmp_path / "a.mat")
    assert np.array_equal(found, pictures)
    assert labels.tolist() == [1, 0, 9, 0, 2]
    assert read_mat_shape(tmp_path / "a.mat") == (5, 32, 32, 3)


def test_bad_svhn(tmp_path, images):
    (tmp_path / "text.mat").write_bytes(b"<html>no such file</html>" * 20)
    with pytest.raises(DataError, match=r"text\.mat must be a MATLAB 5 file"):
        read_mat(tmp_path / "text.mat")
    with pytest.raises(DataError, match="must be a MATLAB 5 file with X"):
        read_mat_shape(tmp_path / "text.mat")
    savemat(tmp_path / "no_y.mat", {"X": np.zeros((32, 32, 3, 2), np.uint8)})
    with pytest.raises(DataError, match="variable y is missing"):
        read_mat(tmp_path / "no_y.mat")
    savemat(tmp_path / "flat.mat", {"X": np.zeros((2, 3072), np.uint8), "y": np.zeros((2, 1))})
    with pytest.raises(DataError, match="X must be 32x32x3xN, got 2x3072"):
        read_mat(tmp_path / "flat.mat")
    savemat(tmp_path / "few.mat", {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.zeros((3, 1))})
    with pytest.raises(DataError, match="y must hold one label for each of the 2 images, got 3"):
        read_mat(tmp_path / "few.mat")
    content = (tmp_path / "few.mat").read_bytes()
    for length in (0, 100, 300, len(content) // 2):
        (tmp_path / "cut.mat").write_bytes(content[:length])
        with pytest.raises(DataError, match=r"cut\.mat"):
            read_mat(tmp_path / "cut.mat")
