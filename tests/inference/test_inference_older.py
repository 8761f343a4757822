"""Runs that an older version made: keys that were added since stand at their default, nothing else is guessed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from nin_exp.errors import IntegrityError
from nin_exp.inference.run import load_run


def change(run_dir: Path, edit) -> None:
    path = run_dir / "config.yaml"
    values = yaml.safe_load(path.read_text())
    edit(values)
    path.write_text(yaml.safe_dump(values))


def test_keys_added_since_stand_at_their_default(copied, test_images, test_logits) -> None:
    whole = load_run(copied).config

    def take_back(values) -> None:
        del values["trainer"]["label_smoothing"], values["evaluation"], values["head"]["relu"]

    change(copied, take_back)
    opened = load_run(copied)
    assert opened.config == whole
    logits = [prediction.logits for prediction in opened.predict(test_images[:5])]
    np.testing.assert_allclose(logits, test_logits[:5], atol=1e-5)


def test_what_the_run_had_is_kept(copied) -> None:
    def take_back(values) -> None:
        del values["trainer"]["label_smoothing"]
        values["trainer"]["batch_size"] = 77

    change(copied, take_back)
    config = load_run(copied).config
    assert (config.trainer.batch_size, config.backbone["width"]) == (77, 0.1)


@pytest.mark.parametrize("key", ["backbone", "choices", "trainer"])
def test_half_a_file_is_not_completed(copied, key) -> None:
    change(copied, lambda values: values.pop(key))
    with pytest.raises(IntegrityError, match=f"does not fit this version of nin-exp: {key} is missing; train"):
        load_run(copied)


def test_keys_that_are_gone_are_not_ignored(copied) -> None:
    change(copied, lambda values: values["trainer"].update(warp_speed=3))
    with pytest.raises(IntegrityError, match=r"trainer\.warp_speed is unknown"):
        load_run(copied)


def test_input_of_the_first_version(copied, test_images, test_logits) -> None:
    """Before there were other preprocessings, the file held the mean and the deviation alone."""
    import json

    path = copied / "input.json"
    values = json.loads(path.read_text())
    settings = values.pop("preprocess")
    path.write_text(json.dumps({**values, "mean": settings["mean"], "std": settings["std"]}))
    moved = copied.with_name("moved")
    shutil.move(copied, moved)
    logits = load_run(moved).predict(test_images[:1])[0].logits
    np.testing.assert_allclose(logits, test_logits[0], atol=1e-5)
