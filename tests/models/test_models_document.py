"""The tables of docs/models.md against what is built."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nin_exp.compose.groups import list_groups, shipped_config_dir
from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import FeatureSpec, Head, Network
from nin_exp.layers.summary import summarize

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| `")]
BACKBONES = {row[0].strip("`"): row for row in ROWS if len(row) == 7}
HEADS = {row[0].strip("`"): row for row in ROWS if len(row) == 4}


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_every_choice_has_its_row(choices: Callable[[str], list[str]]) -> None:
    assert set(BACKBONES) == set(choices("backbone"))
    assert set(HEADS) == set(choices("head"))
    named = {row[0].strip("`") for row in ROWS if len(row) == 3}
    assert set(choices("optimizer")) <= named
    assert all(f"`{name}`" in PAGE for name in choices("schedule"))


def test_every_preset_is_named() -> None:
    groups = list_groups((shipped_config_dir(),))
    named = set(re.findall(r"`([a-z0-9_/]+)`", PAGE))
    zoo = {f"seed/zoo{name}" for name in named if name.startswith("_")}
    assert set(groups["experiment"]) <= named | zoo
    assert set(groups["debug"]) <= named


def test_row_of_each_backbone(network_of: Callable[..., Network], backbone_name: str) -> None:
    _, image, features, own, total, macs, _ = BACKBONES[backbone_name]
    spec = ImageSpec(*map(int, image.split("×")))
    with torch.device("meta"):
        network = network_of(backbone_name, "gap", spec)
    assert network.backbone.out_spec(spec) == FeatureSpec(*map(int, features.split("×")))
    summary = summarize(network, spec)
    assert (number(own), number(total)) == (summary.params_total - summary.params_head, summary.params_total)
    assert number(macs) == pytest.approx(summary.macs / 1e6, abs=0.51)


def test_row_of_each_head(choose: Callable[..., Head], head_name: str) -> None:
    with torch.device("meta"):
        block = choose("backbone", "nin", ImageSpec(3, 32, 32)).class_map_block
        head = choose("head", head_name, FeatureSpec(192, 8, 8), 10, block)
    assert number(HEADS[head_name][3]) == sum(p.numel() for p in head.parameters())
