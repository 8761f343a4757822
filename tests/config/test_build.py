"""What a configuration names is built only where it is of the right kind; nothing else is even called."""

from __future__ import annotations

from pathlib import Path

import pytest

from nin_exp.build import build
from nin_exp.config import Node
from nin_exp.contracts.augment import Augmentation
from nin_exp.contracts.data import DataSource
from nin_exp.errors import ConfigError, RefusedError

CANARY = "canary.txt"


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "nin_exp.cli.main.main", "argv": ["predict", "x", "y", "--csv", CANARY]},
        {"_target_": "nin_exp.records.files.write_text", "path": CANARY, "text": "x"},
        {"_target_": "nin_exp.records.files.os.system", "command": f"touch {CANARY}"},
        {"_target_": "nin_exp.train.loggers.TensorBoardMirror"},
        {"_target_": "nin_exp.contracts.data.ImageSpec", "channels": 1, "height": 8, "width": 8},
    ],
    ids=lambda node: node["_target_"],
)
def test_what_is_of_another_kind_is_not_called(node: Node, in_tmp: Path) -> None:
    with pytest.raises(ConfigError, match=r"must name a DataSource|which does not exist"):
        build(node, "dataset", DataSource)
    assert list(in_tmp.iterdir()) == []


@pytest.mark.parametrize("place", ["itself", "argument", "list"])
def test_what_is_outside_is_refused_at_any_depth(place: str, in_tmp: Path) -> None:
    foreign = {"_target_": "os.system", "command": f"touch {CANARY}"}
    whole = {"_target_": "nin_exp.data.augment.Augment"}
    node: Node = {"itself": foreign, "argument": {**whole, "p": foreign}, "list": {**whole, "p": [[foreign]]}}[place]
    with pytest.raises(RefusedError, match=r"_target_ must lie in nin_exp, got 'os\.system'"):
        build(node, "augment", Augmentation)
    assert list(in_tmp.iterdir()) == []


def test_what_a_class_refuses_is_said_in_one_line() -> None:
    node = {"_target_": "nin_exp.contracts.data.DataSource", "source": None}
    with pytest.raises(ConfigError, match=r"dataset: nin_exp\.contracts\.data\.DataSource cannot be built"):
        build(node, "dataset", DataSource)
