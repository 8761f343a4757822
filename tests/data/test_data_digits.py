from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from nin_exp.data.fingerprint import fingerprint
from nin_exp.data.sources.digits import Digits, read_digits
from nin_exp.data.sources.placed_digits import PlacedDigits
from nin_exp.errors import ConfigError


@pytest.fixture
def placed(common):
    def make(**changes):
        return PlacedDigits(**(common | {"canvas": 24, "digit_size": 12, "placement_seed": 0} | changes))

    return make


def test_digits_are_scikit_learns(tmp_path, common):
    loaded, reference = Digits(**common).load(tmp_path), load_digits()
    both = np.concatenate([loaded.train.images, loaded.test.images])[..., 0]
    labels = np.concatenate([loaded.train.labels, loaded.test.labels])
    assert both.shape == (1797, 8, 8)
    found = sorted(zip(map(bytes, np.rint(both / 255 * 16).astype(np.uint8)), labels.tolist(), strict=True))
    expected = sorted(zip(map(bytes, reference.images.astype(np.uint8)), reference.target.tolist(), strict=True))
    assert found == expected
    assert (both.min(), both.max()) == (0, 255)


def test_test_split_is_a_fifth_of_each_class_by_hash_alone():
    digits = read_digits()
    assert digits.is_test.sum() == round(0.2 * 1797)
    for label in range(10):
        rows = np.flatnonzero(digits.labels == label)
        hashes = [hashlib.sha256(digits.images[row].tobytes()).hexdigest() for row in rows]
        inside = digits.is_test[rows]
        assert abs(inside.mean() - 0.2) < 0.01
        assert max(h for h, t in zip(hashes, inside, strict=True) if t) < min(
            h for h, t in zip(hashes, inside, strict=True) if not t
        )


def test_no_digit_stands_in_both_splits(tmp_path, common):
    loaded = Digits(**common).load(tmp_path)
    assert not {i.tobytes() for i in loaded.train.images} & {i.tobytes() for i in loaded.test.images}


def test_digits_are_pinned(tmp_path, common, placed):
    # A change of either makes every earlier result stale.
    assert fingerprint(Digits(**common).load(tmp_path))[:16] == "892202fa39555442"
    assert fingerprint(placed().load(tmp_path))[:16] == "07c32c80daed9796"


def test_reading_digits_imports_neither_scikit_learn_nor_torch():
    code = (
        "import sys; from nin_exp.data.sources.digits import read_digits; read_digits();"
        "print(sorted({'torch', 'sklearn', 'scipy', 'torchvision', 'pytorch_lightning'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_digits_without_their_file_come_from_load_digits(monkeypatch):
    expected = read_digits()
    monkeypatch.setattr("pathlib.Path.is_file", lambda _path: False)
    assert np.array_equal(read_digits().images, expected.images)


def test_boxes_hold_all_ink_and_touch_it(tmp_path, placed):
    loaded = placed().load(tmp_path)
    for split in (loaded.train, loaded.test):
        for image, (left, top, right, bottom) in zip(split.images[..., 0], split.boxes, strict=True):
            rows, columns = np.nonzero(image)
            assert (rows.min(), rows.max() + 1) == (top, bottom)
            assert (columns.min(), columns.max() + 1) == (left, right)
            assert 0 <= left < right <= 24
            assert right - left <= 12


def test_places_are_spread_evenly(tmp_path, placed):
    boxes = placed(canvas=20, digit_size=8).load(tmp_path).train.boxes
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    # 13 places along each axis: mean (20 - 1)/2 + 0.5 = 10, deviation sqrt((13^2 - 1)/12) = 3.74 and the ink's own.
    assert np.abs(centres.mean(axis=0) - 10).max() < 0.4
    assert np.abs(np.hypot(centres.std(axis=0), 0) - 3.74).max() < 0.4
    assert abs(np.corrcoef(centres.T)[0, 1]) < 0.1


def test_test_canvases_hold_test_digits(tmp_path, common, placed):
    plain = Digits(**common).load(tmp_path)
    canvases = placed(canvas=8, digit_size=8).load(tmp_path)
    assert np.array_equal(canvases.test.images, plain.test.images)
    assert np.array_equal(canvases.train.images, plain.train.images)
    moved = placed(canvas=20, digit_size=8).load(tmp_path)
    cut = [i[i.any(1)][:, i.any(0)].tobytes() for i in moved.test.images[..., 0]]
    assert cut == [i[i.any(1)][:, i.any(0)].tobytes() for i in plain.test.images[..., 0]]


def test_placement_seed_moves_the_digits_and_nothing_else(tmp_path, placed):
    first, again, other = (placed(placement_seed=seed).load(tmp_path) for seed in (0, 0, 1))
    assert fingerprint(first) == fingerprint(again)
    assert not np.array_equal(first.test.boxes, other.test.boxes)
    assert np.array_equal(first.test.labels, other.test.labels)


@pytest.mark.parametrize(("canvas", "digit_size"), [(24, 7), (24, 25)])
def test_digits_that_do_not_fit(placed, canvas, digit_size):
    with pytest.raises(ConfigError, match=rf"dataset\.digit_size must lie in \[8, canvas={canvas}\], got {digit_size}"):
        placed(canvas=canvas, digit_size=digit_size)


def test_embedded_data_take_no_source(common, placed):
    with pytest.raises(
        ConfigError, match=r"dataset\.source must be null for dataset=digits, .* got 'x'; use dataset=arrays"
    ):
        Digits(**(common | {"source": "x"}))
    with pytest.raises(ConfigError, match="must be null for dataset=placed_digits"):
        placed(source="x")
