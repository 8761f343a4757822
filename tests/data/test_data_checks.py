from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nin_exp.contracts.data import ImageArrays
from nin_exp.data.catalog import catalog
from nin_exp.data.checks import check_loaded, check_source
from nin_exp.data.fingerprint import fingerprint
from nin_exp.data.sources.arrays import Arrays
from nin_exp.data.sources.cifar10 import CIFAR10
from nin_exp.data.sources.cifar100 import CIFAR100
from nin_exp.data.sources.digits import Digits
from nin_exp.data.sources.flowers import Flowers
from nin_exp.data.sources.imagefolder import ImageFolder
from nin_exp.data.sources.mnist import MNIST
from nin_exp.data.sources.svhn import SVHN
from nin_exp.data.store import store
from nin_exp.errors import ConfigError


def found(findings):
    return {finding.code: finding for finding in findings}


def with_rows(loaded, train, test):
    return replace(loaded, train=train, test=test)


def test_good_data_have_no_findings(make_loaded):
    assert check_loaded(make_loaded(num_test=12)) == []


def test_copies_within_and_across_splits(make_loaded):
    loaded = make_loaded(num_test=200, num_train=200)
    images = loaded.test.images.copy()
    images[8] = loaded.train.images[4]
    images[5] = images[9]
    train = loaded.train.images.copy()
    train[[10, 14]] = train[6]
    findings = found(
        check_loaded(
            replace(loaded, train=replace(loaded.train, images=train), test=replace(loaded.test, images=images))
        )
    )
    assert findings["duplicate_across_splits"].images == ("train[4] = test[8]",)
    assert findings["duplicate_across_splits"].severity == "warning"
    assert findings["duplicate_in_train"].images == ("train[6] = train[10] = train[14]",)
    assert "2 train images are copies" in findings["duplicate_in_train"].message
    assert findings["duplicate_in_test"].images == ("test[5] = test[9]",)
    assert "contradicting_labels" not in findings


def test_many_leaked_images_are_an_error_and_come_first(make_loaded):
    loaded = make_loaded(num_test=12)
    images = loaded.test.images.copy()
    images[:4] = loaded.train.images[:4]
    findings = check_loaded(replace(loaded, test=replace(loaded.test, images=images)))
    assert (findings[0].code, findings[0].severity) == ("duplicate_across_splits", "error")
    assert "4 of 12 test images stand among the training images too" in findings[0].message


def test_one_image_under_two_classes(make_loaded):
    loaded = make_loaded(num_test=12)
    images = loaded.train.images.copy()
    images[1] = images[0]
    findings = found(check_loaded(replace(loaded, train=replace(loaded.train, images=images))))
    assert findings["contradicting_labels"].images == ("train[0] = train[1]",)


def test_empty_classes(make_loaded):
    loaded = make_loaded(num_test=12)
    shown = np.where(loaded.test.labels == 3, 2, loaded.test.labels)
    loaded = replace(
        loaded, test=ImageArrays(loaded.test.images, shown), class_names=(*loaded.class_names, "never\nseen")
    )
    findings = found(check_loaded(loaded))
    assert findings["empty_class_in_train"].severity == "error"
    assert findings["empty_class_in_train"].message == r"1 classes have no train image: 'never\nseen'"
    assert "'class 3', 'never" in findings["empty_class_in_test"].message
    assert findings["empty_class_in_test"].severity == "warning"


@pytest.mark.parametrize(("counts", "severity"), [((20, 19), None), ((30, 10), "info"), ((100, 10), "warning")])
def test_imbalance(make_loaded, counts, severity):
    loaded = make_loaded(num_train=sum(counts), classes=2, num_test=12)
    labels = np.repeat([0, 1], counts)
    findings = found(check_loaded(replace(loaded, train=replace(loaded.train, labels=labels))))
    if severity is None:
        assert findings == {}
        return
    finding = findings["imbalance_in_train"]
    assert finding.severity == severity
    assert f"{counts[0]} of 'class 0', {counts[1]} of 'class 1'" in finding.message
    assert f"{counts[0] / sum(counts):.1%}" in finding.message


def test_images_of_one_colour(make_loaded):
    loaded = make_loaded(num_test=12)
    images = loaded.train.images.copy()
    images[7] = (10, 20, 30)
    assert found(check_loaded(replace(loaded, train=replace(loaded.train, images=images))))["blank_image"].images == (
        "train[7]",
    )


def test_class_folders_are_checked_by_file_name(tmp_path, common, write_folders):
    root = write_folders(tmp_path, {"a": 12, "b": 12}, size=(8, 8))
    (root / "a" / "copy.png").write_bytes((root / "a" / "img_3.png").read_bytes())
    (root / "b" / "broken.jpg").write_bytes(b"")
    source = ImageFolder(**(common | {"source": str(root), "image_size": 8}), test_fraction=0.2, unreadable="error")
    findings = found(check_source(source, tmp_path))
    assert findings["unreadable"].images == ("b/broken.jpg (not an image)",)
    assert findings["unreadable"].severity == "error"
    copies = [f for code, f in findings.items() if code.startswith("duplicate")]
    assert [set(f.images[0].split(" = ")) for f in copies] == [{"a/img_3.png", "a/copy.png"}]


def test_bad_labels_and_missing_data_are_findings(tmp_path, common, write_npz):
    path = write_npz(tmp_path / "a.npz", y_train=np.array([0, 1, 7] * 4))
    source = Arrays(**(common | {"source": str(path)}), test_fraction=0.2)
    findings = check_source(source, tmp_path)
    assert [f.severity for f in findings] == ["error"]
    assert "y_train must lie in 0…2 (3 classes), got 7 in row 2" in findings[0].message
    assert [f.code for f in check_source(MNIST(**common), tmp_path)] == ["not_here"]


def test_catalog(tmp_path, common, write_npz, write_idx, write_folders):
    write_npz(tmp_path / "cifar10.npz")
    write_idx(tmp_path / "MNIST" / "raw")
    write_folders(tmp_path / "flowers", {"daisy": 10, "roses": 5})
    (tmp_path / "svhn.npz").write_bytes(b"damaged")
    sources = {
        "digits": Digits(**common),
        "mnist": MNIST(**common),
        "cifar10": CIFAR10(**common),
        "cifar100": CIFAR100(**common, labels="fine"),
        "svhn": SVHN(**common, extra=False),
        "flowers": Flowers(**(common | {"image_size": 32, "unreadable": "error"})),
    }
    entries = {entry.name: entry for entry in catalog(sources, tmp_path)}
    shown = {
        name: (e.location.origin, e.is_prepared, e.location.num_train, e.location.num_test, e.location.shape)
        for name, e in entries.items()
    }
    assert shown == {
        "digits": ("embedded", True, 1438, 359, (8, 8, 1)),
        "mnist": ("files", False, 12, 6, (5, 7, 1)),
        "cifar10": ("npz", True, 12, 6, (6, 6, 3)),
        "cifar100": ("download", False, None, None, None),
        "svhn": ("missing", False, None, None, None),
        "flowers": ("folders", False, 12, 3, (32, 32, 3)),
    }
    assert "svhn.npz must be an .npz file" in entries["svhn"].problem


def test_store_writes_what_is_read_from_then_on(tmp_path, common, write_idx, write_folders):
    write_idx(tmp_path / "MNIST" / "raw")
    write_folders(tmp_path / "flowers", {"daisy": 10, "roses": 5})
    for source, name in (
        (MNIST(**common), "mnist.npz"),
        (Flowers(**(common | {"image_size": 8, "unreadable": "error"})), "flowers.npz"),
    ):
        before = fingerprint(source.load(tmp_path))
        assert store(source, tmp_path) == tmp_path / name
        assert source.load(tmp_path).files == (tmp_path / name,)
        assert fingerprint(source.load(tmp_path)) == before
        written = (tmp_path / name).stat().st_mtime_ns
        store(source, tmp_path)
        assert (tmp_path / name).stat().st_mtime_ns == written


def test_a_given_source_replaces_what_was_stored(tmp_path, common, write_npz):
    write_npz(tmp_path / "mnist.npz")
    other = write_npz(tmp_path / "other.npz", y_train=np.arange(12) % 2)
    store(MNIST(**(common | {"source": str(other)})), tmp_path)
    assert MNIST(**common).load(tmp_path).train.labels.max() == 1


def test_what_needs_no_storing(tmp_path, common, write_npz):
    sources = (Digits(**common), Arrays(**(common | {"source": str(write_npz(tmp_path / "a.npz"))}), test_fraction=0.2))
    for source in sources:
        with pytest.raises(ConfigError, match=rf"{type(source).__name__} needs no preparing"):
            store(source, tmp_path)


def test_catalog_and_checks_need_no_torch():
    code = (
        "import sys, nin_exp.data.catalog, nin_exp.data.checks, nin_exp.data.prepare;"
        "print(sorted({'torch', 'torchvision', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_flowers_have_two_real_pairs(common, real_data, tmp_path):
    if not (real_data / "flowers").is_dir():
        pytest.skip("real images: NIN_EXP_DATA holds no folder flowers")
    given = {"source": str(real_data / "flowers"), "image_size": 224, "unreadable": "error"}
    copies = [f for f in check_source(Flowers(**(common | given)), tmp_path) if f.code.startswith("duplicate")]
    pairs = {frozenset(Path(n).stem for n in pair.split(" = ")) for f in copies for pair in f.images}
    assert pairs == {
        frozenset({"14889392928_9742aed45b_m", "15066430311_fb57fa92b0_m"}),
        frozenset({"15069459615_7e0fd61914_n", "15072973261_73e2912ef2_n"}),
    }


@pytest.mark.parametrize(
    ("kind", "name", "counts", "mean"),
    [
        # Means as torchvision's users publish them; 0.1307 and 0.2860 of all 60,000 training images.
        (MNIST, "mnist", (60_000, 10_000), (0.1307,)),
        (CIFAR10, "cifar10", (49_059, 9_806), (0.4914, 0.4822, 0.4465)),
    ],
)
def test_real_sets(common, real_data, kind, name, counts, mean):

    from nin_exp.data.preprocess.channels import fit_channels

    loaded = kind(**common).load(real_data)
    assert (len(loaded.train), len(loaded.test)) == counts
    assert loaded.files == (real_data / f"{name}.npz",)
    found_mean = fit_channels(loaded.train.images, "standardize").mean
    assert found_mean == pytest.approx(mean, abs=2e-3)
