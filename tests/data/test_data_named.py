"""Named data sets: where they are looked for, and that every kind of copy gives the same arrays."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from nin_exp.data.download import RemoteFile
from nin_exp.data.fingerprint import fingerprint
from nin_exp.data.formats.npz import write_npz as write_loaded
from nin_exp.data.sources import cifar10, mnist
from nin_exp.data.sources.cifar10 import CIFAR10
from nin_exp.data.sources.cifar100 import CIFAR100
from nin_exp.data.sources.fashion_mnist import FashionMNIST
from nin_exp.data.sources.mnist import MNIST
from nin_exp.data.sources.svhn import SVHN
from nin_exp.errors import DataError, RefusedError


@pytest.fixture
def unreachable(monkeypatch):
    """No download in these tests: every address is closed."""
    closed = ("http://127.0.0.1:9/",)
    monkeypatch.setattr(mnist, "_LAYOUT", replace(mnist._LAYOUT, mirrors=closed))
    monkeypatch.setattr(cifar10, "_LAYOUT", replace(cifar10._LAYOUT, archive=RemoteFile("c.tar.gz", closed, "0" * 32)))


def write_svhn(folder: Path, parts=("train", "test"), count=12):
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for seed, part in enumerate(parts):
        images = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        labels = (np.arange(count) + seed) % 10
        arrays[part] = (images, labels)
        stored = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        savemat(folder / f"{part}_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": stored})
    return arrays


@pytest.mark.parametrize("below", ["", "MNIST", "MNIST/raw"])
@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_from_torchvisions_folder(tmp_path, common, write_idx, below, zipped):
    arrays = write_idx(tmp_path / "MNIST" / "raw", zipped=zipped)
    loaded = MNIST(**(common | {"source": str(tmp_path / below)})).load(tmp_path / "unused")
    assert np.array_equal(loaded.train.images[..., 0], arrays["train-images-idx3-ubyte"])
    assert np.array_equal(loaded.test.labels, arrays["t10k-labels-idx1-ubyte"])
    assert len(loaded.files) == 4
    assert loaded.notes == {"images_of_official": {"train": "12/60000", "test": "6/10000"}}


def test_unpacked_files_are_preferred_to_zipped_ones(tmp_path, common, write_idx):
    write_idx(tmp_path, zipped=True)
    write_idx(tmp_path, zipped=False)
    loaded = MNIST(**(common | {"source": str(tmp_path)})).load(tmp_path)
    assert {path.suffix for path in loaded.files} == {""}


def test_fashion_mnist_has_a_folder_of_its_own(tmp_path, common, write_idx):
    write_idx(tmp_path / "MNIST" / "raw")
    write_idx(tmp_path / "FashionMNIST" / "raw", num_train=15)
    loaded = FashionMNIST(**common).load(tmp_path)
    assert len(loaded.train) == 15
    assert loaded.class_names[0] == "T-shirt/top"


@pytest.mark.parametrize("fine", [False, True])
def test_cifar_from_torchvisions_folder(tmp_path, common, write_cifar, fine):
    folder = tmp_path / ("cifar-100-python" if fine else "cifar-10-batches-py")
    batches = write_cifar(folder, fine=fine)
    source = CIFAR100(**common, labels="fine") if fine else CIFAR10(**common)
    loaded = source.load(tmp_path)
    *train, test = batches.values()
    assert np.array_equal(loaded.train.images, np.concatenate([images for images, _ in train]))
    assert loaded.train.labels.tolist() == [label for _, labels in train for label in labels]
    assert np.array_equal(loaded.test.images, test[0])
    assert loaded.class_names[9] == "name9"
    assert len(loaded.class_names) == (100 if fine else 10)


def test_svhn_and_its_extra_file(tmp_path, common):
    arrays = write_svhn(tmp_path / "SVHN", ("train", "test", "extra"))
    plain = SVHN(**common, extra=False).load(tmp_path)
    assert np.array_equal(plain.train.images, arrays["train"][0])
    assert np.array_equal(plain.test.labels, arrays["test"][1])
    both = SVHN(**common, extra=True).load(tmp_path)
    assert np.array_equal(both.train.images, np.concatenate([arrays["train"][0], arrays["extra"][0]]))
    assert both.notes["images_of_official"]["train"] == "24/604388"


def test_extra_is_not_taken_from_a_prepared_file_without_it(tmp_path, common):
    write_svhn(tmp_path / "SVHN", ("train", "test", "extra"))
    write_loaded(SVHN(**common, extra=False).load(tmp_path), tmp_path / "svhn.npz")
    extra = SVHN(**common, extra=True)
    assert len(extra.load(tmp_path).train) == 24
    write_loaded(extra.load(tmp_path), tmp_path / "svhn_extra.npz")
    assert extra.locate(tmp_path).path == tmp_path / "svhn_extra.npz"
    assert len(SVHN(**common, extra=False).load(tmp_path).train) == 12


def test_missing_extra_file_is_named(tmp_path, common):
    write_svhn(tmp_path)
    with pytest.raises(DataError, match=r"must hold the whole svhn_extra, but extra_32x32\.mat is missing"):
        SVHN(**(common | {"source": str(tmp_path)}), extra=True).load(tmp_path)


def test_class_folders_as_source(tmp_path, common):
    for split, count in (("train", 5), ("test", 3)):
        for digit in range(3):
            folder = tmp_path / split / str(digit)
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("L", (6, 4), 10 * digit + i).save(folder / f"{i}.png")
    loaded = MNIST(**(common | {"source": str(tmp_path)})).load(tmp_path)
    assert loaded.train.images.shape == (15, 4, 6, 1)
    assert loaded.test.images[:, 0, 0, 0].tolist() == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    assert loaded.class_names == ("0", "1", "2")
    colour = CIFAR10(**(common | {"source": str(tmp_path)})).load(tmp_path)
    assert colour.train.images.shape == (15, 4, 6, 3)


def test_class_folders_of_several_sizes_need_a_size(tmp_path, common, write_folders):
    write_folders(tmp_path, {"a": 4}, size=(10, 8))
    write_folders(tmp_path, {"b": 4}, size=(9, 9))
    with pytest.raises(
        DataError, match=r"img_\d\.png must be 8x10 pixels like the others, got 9x9; use dataset=imagefolder"
    ):
        CIFAR10(**(common | {"source": str(tmp_path)})).load(tmp_path)


def test_order_of_the_places(tmp_path, common, write_idx, write_npz):
    source = MNIST(**common)
    assert source.locate(tmp_path).origin == "download"
    write_idx(tmp_path / "MNIST" / "raw")
    assert source.locate(tmp_path).origin == "files"
    assert source.locate(tmp_path).num_train == 12
    assert source.locate(tmp_path).shape == (5, 7, 1)
    write_npz(tmp_path / "mnist.npz")
    assert source.locate(tmp_path).origin == "npz"
    other = MNIST(**(common | {"source": str(write_npz(tmp_path / "elsewhere.npz"))}))
    assert other.locate(tmp_path).path == tmp_path / "elsewhere.npz"


def test_every_copy_has_one_fingerprint(tmp_path, common, write_cifar):
    write_cifar(tmp_path / "cifar-10-batches-py")
    from_files = CIFAR10(**common).load(tmp_path)
    write_loaded(from_files, tmp_path / "cifar10.npz")
    from_npz = CIFAR10(**common).load(tmp_path)
    assert from_npz.files == (tmp_path / "cifar10.npz",)
    assert fingerprint(from_npz) == fingerprint(from_files)


def test_a_prepared_file_without_class_names(tmp_path, common, write_npz):
    write_npz(tmp_path / "mnist.npz", class_names=None)
    assert MNIST(**common).load(tmp_path).class_names == tuple("0123456789")
    write_npz(tmp_path / "cifar100.npz", class_names=None)
    assert CIFAR100(**common, labels="fine").load(tmp_path).class_names == ("0", "1", "2")


def test_prepared_file_without_a_test_split(tmp_path, common, write_npz):
    write_npz(tmp_path / "mnist.npz", x_test=None, y_test=None)
    with pytest.raises(DataError, match=r"mnist\.npz: key x_test is missing; mnist has a test split of its own"):
        MNIST(**common).load(tmp_path)


@pytest.mark.parametrize("name", ["t10k-labels-idx1-ubyte", "train-images-idx3-ubyte"])
def test_an_incomplete_source_names_what_is_missing(tmp_path, common, write_idx, name):
    write_idx(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"must hold the whole mnist, but {name} is missing; fetch it again"):
        MNIST(**(common | {"source": str(tmp_path)})).load(tmp_path)


def test_sources_that_are_not_there_or_are_something_else(tmp_path, common):
    with pytest.raises(DataError, match=r"dataset\.source must be an existing file or folder, got '.*nowhere'"):
        MNIST(**(common | {"source": str(tmp_path / "nowhere")})).load(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt must be an \.npz file"):
        MNIST(**(common | {"source": str(tmp_path / "notes.txt")})).load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="must hold one folder a class, got none"):
        MNIST(**(common | {"source": str(tmp_path / "empty")})).load(tmp_path)


def test_images_and_labels_that_disagree(tmp_path, common, write_idx):
    write_idx(tmp_path, num_train=12)
    write_idx(tmp_path / "more", num_train=13)
    shutil.copy(tmp_path / "more" / "train-labels-idx1-ubyte", tmp_path)
    with pytest.raises(
        DataError, match=r"train-labels-idx1-ubyte must hold one label for each of the 12 images, got 13"
    ):
        MNIST(**(common | {"source": str(tmp_path)})).load(tmp_path)


def test_a_hostile_batch_is_refused(tmp_path, common, write_cifar):
    write_cifar(tmp_path)
    (tmp_path / "data_batch_3").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(RefusedError, match=r"data_batch_3 must hold plain arrays, but names os\.system"):
        CIFAR10(**(common | {"source": str(tmp_path)})).load(tmp_path)


@pytest.mark.usefixtures("unreachable")
def test_a_failed_download_says_what_to_do(tmp_path, common):
    for source, name in ((MNIST(**common), "mnist"), (CIFAR10(**common), "cifar10")):
        with pytest.raises(
            DataError,
            match=rf"{name} is not in .*could not be fetched \(.*refused.*\); give a local copy: dataset\.source=PATH",
        ) as caught:
            source.load(tmp_path / "data")
        assert "\n" not in str(caught.value)
    assert not list((tmp_path / "data").glob("*.npz"))


def test_mnist_is_fetched_into_torchvisions_layout(tmp_path, common, write_idx, monkeypatch):
    arrays = write_idx(tmp_path / "web", zipped=True)
    md5 = tuple(hashlib.md5((tmp_path / "web" / f"{name}.gz").read_bytes()).hexdigest() for name in arrays)
    layout = replace(mnist._LAYOUT, mirrors=((tmp_path / "web").as_uri() + "/",), md5=md5)
    monkeypatch.setattr(mnist, "_LAYOUT", layout)
    loaded = MNIST(**common).load(tmp_path / "data")
    assert np.array_equal(loaded.test.images[..., 0], arrays["t10k-images-idx3-ubyte"])
    assert {p.parent for p in loaded.files} == {tmp_path / "data" / "MNIST" / "raw"}
    assert MNIST(**common).locate(tmp_path / "data").origin == "files"


def test_cifar_is_fetched_and_only_its_folder_unpacked(tmp_path, common, write_cifar, monkeypatch):
    batches = write_cifar(tmp_path / "cifar-10-batches-py")
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
    remote = RemoteFile(archive.name, (archive.as_uri(),), hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setattr(cifar10, "_LAYOUT", replace(cifar10._LAYOUT, archive=remote))
    loaded = CIFAR10(**common).load(tmp_path / "data")
    assert np.array_equal(loaded.test.images, batches["test_batch"][0])
    (tmp_path / "data" / "cifar-10-batches-py" / "data_batch_4").unlink()
    archive.unlink()  # a file lost later comes from the archive that was kept
    assert len(CIFAR10(**common).load(tmp_path / "data").train) == 20


@pytest.mark.slow
def test_addresses_and_checksums_are_torchvisions():
    from torchvision import datasets

    from nin_exp.data.formats import svhn_layout
    from nin_exp.data.formats.idx_layout import FILES
    from nin_exp.data.sources import cifar100, fashion_mnist

    for ours, theirs in ((mnist._LAYOUT, datasets.MNIST), (fashion_mnist._LAYOUT, datasets.FashionMNIST)):
        assert set(theirs.resources) == {(f"{name}.gz", md5) for name, md5 in zip(FILES, ours.md5, strict=True)}
        assert list(ours.mirrors) == theirs.mirrors
        assert ours.folder == theirs.__name__
    assert fashion_mnist._LAYOUT.class_names == tuple(datasets.FashionMNIST.classes)
    for batches, source in ((cifar10._LAYOUT, datasets.CIFAR10), (cifar100._LAYOUT, datasets.CIFAR100)):
        assert (batches.archive.digest, batches.archive.urls, batches.archive.name) == (
            source.tgz_md5,
            (source.url,),
            source.filename,
        )
        assert batches.folder == source.base_folder
        assert [*batches.train_files, batches.test_file] == [name for name, _ in source.train_list + source.test_list]
        assert (batches.meta_file, batches.names_key) == (source.meta["filename"], source.meta["key"])
    for part, (url, name, md5) in datasets.SVHN.split_list.items():
        assert url == svhn_layout._SERVER + name
        assert svhn_layout._MD5[part] == md5


@pytest.mark.slow
def test_layouts_are_read_as_torchvision_reads_them(tmp_path, common, write_idx, write_cifar):
    from torchvision import datasets

    write_idx(tmp_path / "MNIST" / "raw")
    write_svhn(tmp_path)
    ours, theirs = MNIST(**common).load(tmp_path), datasets.MNIST(tmp_path)
    assert np.array_equal(ours.train.images[..., 0], theirs.data.numpy())
    assert np.array_equal(ours.train.labels, theirs.targets.numpy())
    write_cifar(tmp_path / "cifar-10-batches-py")

    class Unchecked(datasets.CIFAR10):
        def _check_integrity(self) -> bool:
            return True

        meta = datasets.CIFAR10.meta | {"md5": None}

    mine, other = CIFAR10(**common).load(tmp_path), Unchecked(str(tmp_path), train=True)
    assert np.array_equal(mine.train.images, other.data)
    assert mine.train.labels.tolist() == other.targets


def test_coarse_classes_of_cifar100(tmp_path, common, write_npz, write_cifar):
    """The fine labels and names of any copy give the coarse ones, and the prepared file serves for both."""
    from nin_exp.data.store import store

    names = np.array(["whale", "wolf", "beaver", "tractor"])
    path = write_npz(tmp_path / "given.npz", class_names=names, y_train=np.arange(12) % 4, y_test=np.arange(6) % 4)
    coarse = CIFAR100(**(common | {"source": str(path)}), labels="coarse")
    loaded = coarse.load(tmp_path)
    assert len(loaded.class_names) == 20
    assert [loaded.class_names[k] for k in loaded.train.labels[:4]] == [
        "aquatic_mammals",
        "large_carnivores",
        "aquatic_mammals",
        "vehicles_2",
    ]
    fine = CIFAR100(**(common | {"source": str(path)}), labels="fine").load(tmp_path)
    assert np.array_equal(fine.train.images, loaded.train.images)
    assert fingerprint(fine) != fingerprint(loaded)
    store(coarse, tmp_path / "data")
    again = {name: CIFAR100(**common, labels=name).load(tmp_path / "data") for name in ("fine", "coarse")}
    assert {name: fingerprint(found) for name, found in again.items()} == {
        "fine": fingerprint(fine),
        "coarse": fingerprint(loaded),
    }
    other = write_npz(tmp_path / "other.npz")
    with pytest.raises(DataError, match=r"dataset\.labels=coarse needs the class names of CIFAR-100, got 'ant'"):
        CIFAR100(**(common | {"source": str(other)}), labels="coarse").load(tmp_path)


def test_each_coarse_class_holds_five_fine_ones(real_data):
    from nin_exp.data.sources.cifar100 import COARSE

    with np.load(real_data / "cifar100.npz") as file:
        names = sorted(str(name) for name in file["class_names"])
    assert sorted(name for fine in COARSE.values() for name in fine) == names
    assert {len(fine) for fine in COARSE.values()} == {5}
    assert list(COARSE) == sorted(COARSE)


def test_fashion_mnist_at_the_size_of_imagenet(tmp_path, common, write_idx):
    from nin_exp.data.prepare import prepare

    arrays = write_idx(tmp_path / "FashionMNIST" / "raw")
    source = FashionMNIST(**(common | {"image_size": 224}))
    prepared = prepare(source, tmp_path, 0)
    assert str(prepared.image_spec) == "1x224x224"
    first = Image.fromarray(arrays["t10k-images-idx3-ubyte"][0]).resize((224, 224), Image.Resampling.BILINEAR)
    assert np.array_equal(prepared.test.images[0, :, :, 0], np.asarray(first))
