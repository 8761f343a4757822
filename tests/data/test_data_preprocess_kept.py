"""What was fitted is fitted once for all jobs, kept with a run, and read back or refused."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from nin_exp.contracts.data import DataSource, ImageArrays, ImageSpec, LoadedData
from nin_exp.data.augment import Augment
from nin_exp.data.loader import BatchLoader
from nin_exp.data.prepare import prepare
from nin_exp.data.preprocess import whitening_file
from nin_exp.data.preprocess.fitted import WHITENING_FILE, fit, read, save
from nin_exp.data.preprocess.gcn import GlobalContrast
from nin_exp.errors import ConfigError, IntegrityError

KINDS = ("standardize", "centered", "signed", "unit", "gcn", "gcn_zca", "lcn")
SPEC = ImageSpec(3, 5, 4)


@dataclass(frozen=True, kw_only=True)
class InMemory(DataSource):
    data: LoadedData

    def load(self, data_dir: Path) -> LoadedData:
        return self.data


@pytest.fixture
def in_memory(common, make_loaded):
    def make(**changes):
        return InMemory(**(common | {"data": make_loaded()} | changes))

    return make


@pytest.fixture
def count_fits(monkeypatch):
    counted = []
    original = whitening_file.fit_whitening
    monkeypatch.setattr(whitening_file, "fit_whitening", lambda *a: (counted.append(1), original(*a))[1])
    return counted


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_alone_prepares_images_alike(tmp_path, images, kind):
    pictures = images(20, (5, 4, 3), 0)
    fitted = fit(kind, pictures, tmp_path / "data", "some data")
    (tmp_path / "run").mkdir()
    settings = json.loads(json.dumps(save(fitted, tmp_path / "run")))
    other = images(7, (5, 4, 3), 1)
    again = read(settings, tmp_path / "run", SPEC)
    assert np.array_equal(again.apply(other), fitted.preprocessing.apply(other))
    assert settings["kind"] == kind
    assert (tmp_path / "run" / WHITENING_FILE).is_file() == (kind == "gcn_zca")
    assert not list((tmp_path / "run").glob(".*"))


def test_a_whitening_is_fitted_once_and_tells_data_apart(tmp_path, images, count_fits):
    pictures = images(20, (5, 4, 3), 0)
    first = fit("gcn_zca", pictures, tmp_path, "one").preprocessing
    second = fit("gcn_zca", pictures, tmp_path, "one").preprocessing
    assert len(count_fits) == 1
    assert np.array_equal(first.matrix, second.matrix)
    fit("gcn_zca", images(20, (5, 4, 3), 1), tmp_path, "two")
    assert len(count_fits) == 2
    whitening_file.cached_whitening(pictures, GlobalContrast(1.0, 1e-8), 0.1, tmp_path, "one")
    assert len(count_fits) == 3


def test_jobs_at_the_same_time_wait_for_one_fit(tmp_path, images, count_fits):
    pictures = images(20, (5, 4, 3), 0)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fit("gcn_zca", pictures, tmp_path, "key").preprocessing.matrix, range(4)))
    assert len(count_fits) == 1
    assert all(np.array_equal(found[0], matrix) for matrix in found)


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_a_damaged_cache_is_made_anew(tmp_path, images, count_fits, caplog, damage):
    pictures = images(20, (5, 4, 3), 0)
    fitted = fit("gcn_zca", pictures, tmp_path, "key")
    content = bytearray(fitted.cached.read_bytes())
    if damage == "truncate":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    fitted.cached.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        again = fit("gcn_zca", pictures, tmp_path, "key")
    assert "is damaged" in caplog.text
    assert len(count_fits) == 2
    assert np.array_equal(again.preprocessing.matrix, fitted.preprocessing.matrix)
    assert np.array_equal(fit("gcn_zca", pictures, tmp_path, "key").preprocessing.matrix, again.preprocessing.matrix)
    assert len(count_fits) == 2


def test_without_a_writable_data_folder_nothing_is_kept(tmp_path, images, caplog):
    (tmp_path / "data").write_text("a file")
    fitted = fit("gcn_zca", images(20, (5, 4, 3), 0), tmp_path / "data", "key")
    assert fitted.cached is None
    assert "the whitening is not kept" in caplog.text
    (tmp_path / "run").mkdir()
    settings = save(fitted, tmp_path / "run")
    assert np.array_equal(read(settings, tmp_path / "run", SPEC).matrix, fitted.preprocessing.matrix)


@pytest.mark.parametrize("damage", ["missing", "flip", "other"])
def test_a_runs_whitening_that_is_not_its_own_is_refused(tmp_path, images, damage):
    fitted = fit("gcn_zca", images(20, (5, 4, 3), 0), tmp_path / "data", "key")
    (tmp_path / "run").mkdir()
    settings = save(fitted, tmp_path / "run")
    path = tmp_path / "run" / WHITENING_FILE
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "flip":
        content[-300] ^= 4
        path.write_bytes(content)
    elif damage == "other":
        save(fit("gcn_zca", images(20, (5, 4, 3), 9), tmp_path / "data", "other"), tmp_path / "run")
    with pytest.raises(IntegrityError, match=r"whitening\.npz must hold the run's whitening, but cannot be read"):
        read(settings, tmp_path / "run", SPEC)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "gcn", "scale": -1, "min_divisor": 0}, "scale must be positive, got -1"),
        ({"kind": "lcn", "window": 7, "sigma": float("nan"), "threshold": 1}, "sigma must be positive, got nan"),
        ({"kind": "pca", "scale": 1, "min_divisor": 0}, "unknown preprocessing 'pca'"),
    ],
)
def test_settings_of_nothing_known(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        read(settings, tmp_path, SPEC)


def test_whitening_sees_the_training_split_alone(tmp_path, in_memory):
    source = in_memory(preprocess="gcn_zca", train_limit=20)
    prepared = prepare(source, tmp_path, split_seed=0)
    gcn = GlobalContrast(55.0, 1e-8)
    mean = gcn.apply(prepared.train.images).reshape(20, -1).mean(axis=0)
    np.testing.assert_allclose(prepared.preprocessing.mean, mean, atol=1e-5)
    other = prepare(source, tmp_path, split_seed=1)
    assert not np.allclose(other.preprocessing.mean, prepared.preprocessing.mean)
    assert len(list((tmp_path / ".cache").glob("whitening-*.npz"))) == 2


def test_nothing_is_fitted_before_it_is_asked_for(tmp_path, in_memory, count_fits):
    prepared = prepare(in_memory(preprocess="gcn_zca"), tmp_path, split_seed=0)
    assert str(prepared.image_spec) == "3x8x8"
    assert not count_fits
    assert prepared.preprocessing is prepared.preprocessing
    assert len(count_fits) == 1


def loader(arrays: ImageArrays, preprocessing, **changes) -> BatchLoader:
    arguments = {
        "batch_size": 4,
        "shuffle": False,
        "drop_last": False,
        "augment": None,
        "order_seed": 0,
        "augment_seed": 0,
        "device": "cpu",
        "channels_last": False,
    }
    return BatchLoader(arrays, preprocessing=preprocessing, **(arguments | changes))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_loader_gives_prepared_images(tmp_path, images, kind, channels_last):
    pictures = images(10, (5, 4, 3), 0)
    preprocessing = fit(kind, pictures, tmp_path, "key").preprocessing
    arrays = ImageArrays(pictures, np.zeros(10, dtype=np.int64))
    batches = list(loader(arrays, preprocessing, channels_last=channels_last))
    found = torch.cat([batch[0] for batch in batches])
    expected = preprocessing.apply(pictures).transpose(0, 3, 1, 2)
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), expected)
    wanted = torch.channels_last if channels_last else torch.contiguous_format
    assert all(batch[0].is_contiguous(memory_format=wanted) for batch in batches)


@pytest.mark.parametrize("kind", ["gcn", "gcn_zca", "lcn"])
def test_augmentation_works_on_prepared_images_and_fills_with_zero(tmp_path, images, kind):
    pictures = images(40, (6, 6, 3), 0)
    preprocessing = fit(kind, pictures, tmp_path, "key").preprocessing
    augment = Augment(translate=2, flip=True, cutout=2, pad_mode="zeros")
    batches = loader(
        ImageArrays(pictures, np.zeros(40, dtype=np.int64)), preprocessing, augment=augment, shuffle=True, batch_size=40
    )
    found, _, indices = next(iter(batches))
    draws = batches.draws(0)
    plain = torch.from_numpy(preprocessing.apply(pictures).transpose(0, 3, 1, 2).copy())
    for image, i in zip(found, indices.tolist(), strict=True):
        own = {name: values[i : i + 1] for name, values in draws.items()}
        assert torch.equal(image, augment.apply(plain[i : i + 1], own, torch.zeros(3))[0])
        row, column = int(draws["cut_row"][i]), int(draws["cut_column"][i])
        assert not image[:, row, column].any()


def test_large_images_are_refused_when_asked_for(tmp_path, in_memory):
    prepared = prepare(in_memory(preprocess="gcn_zca", image_size=65), tmp_path, split_seed=0)
    with pytest.raises(ConfigError, match="gcn_zca needs images of at most 12288 values, got 65x65x3"):
        _ = prepared.preprocessing
