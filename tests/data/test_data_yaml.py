"""Every YAML of the data groups names a class and gives each of its arguments once."""

from __future__ import annotations

import importlib
import inspect
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from nin_exp.contracts.augment import Augmentation
from nin_exp.contracts.data import DataSource, Preprocess
from nin_exp.data.location import Locatable

CONF = Path(__file__).parents[2] / "conf"
DATASETS = sorted((CONF / "dataset").glob("*.yaml"))
AUGMENTS = sorted((CONF / "augment").glob("*.yaml"))
REQUIRED = {"imagefolder": {"source": "x", "image_size": 8}, "arrays": {"source": "x.npz"}}


def read(path: Path):
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    module, _, name = values.pop("_target_").rpartition(".")
    return getattr(importlib.import_module(module), name), values


def test_they_were_found():
    for group, found in (("dataset", DATASETS), ("augment", AUGMENTS)):
        assert len(found) == len([path for path in (CONF / group).rglob("*") if path.is_file()]) > 0
    names = "digits placed_digits mnist fashion_mnist cifar10 cifar100 svhn flowers imagefolder arrays"
    assert {p.stem for p in DATASETS} >= set(names.split())
    assert {p.stem for p in AUGMENTS} >= {"none", "translate", "flip_translate", "cutout", "resized_crop"}


@pytest.mark.parametrize("path", DATASETS + AUGMENTS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_arguments_are_complete_and_have_no_second_default(path):
    kind, values = read(path)
    if is_dataclass(kind):
        assert {f.name for f in fields(kind)} == set(values)
    parameters = inspect.signature(kind).parameters.values()
    assert {p.name for p in parameters} == set(values)
    assert all(p.default is inspect.Parameter.empty for p in parameters)
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 30


@pytest.mark.parametrize("path", DATASETS, ids=lambda p: p.stem)
def test_data_sources_can_be_made(path):
    kind, values = read(path)
    source = kind(**(values | REQUIRED.get(path.stem, {})))
    assert isinstance(source, DataSource)
    assert isinstance(source, Locatable)


@pytest.mark.parametrize("path", AUGMENTS, ids=lambda p: p.stem)
def test_augmentations_can_be_made(path):
    kind, values = read(path)
    assert isinstance(kind(**values), Augmentation)
    assert kind(**values).is_identity == (path.stem == "none")


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_what_is_required_is_refused_without(name):
    kind, values = read(CONF / "dataset" / f"{name}.yaml")
    with pytest.raises(ValueError, match="source must be a string, got null"):
        kind(**values)


def test_every_preprocessing_and_fraction_is_a_job_of_its_own():
    from nin_exp.compose.composer import Composer
    from nin_exp.compose.groups import resolve_config_dirs
    from nin_exp.compose.identity import job_id

    composer = Composer(resolve_config_dirs(None), ("nin_exp",))
    settings = [("dataset.preprocess", kind) for kind in typing.get_args(Preprocess)]
    settings += [("dataset.train_fraction", value) for value in ("0.01", "0.05", "0.1")]
    assert len({job_id(composer.compose([setting])) for setting in settings}) == len(settings) == 10
