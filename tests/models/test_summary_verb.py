"""``nin-exp summary``: any combination, from headers alone, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nin_exp.cli.main import main
from nin_exp.cli.summary import run
from nin_exp.errors import ConfigError, DataError, GeometryError


@pytest.fixture
def summary(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: str) -> dict[str, Any]:
        assert run([*words, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return call


def write_npz(path: Path, side: int, channels: int, classes: int) -> Path:
    images = np.zeros((2 * classes, side, side, channels), dtype=np.uint8)
    labels = np.arange(2 * classes) % classes
    names = np.array([f"name {k}" for k in range(classes)])
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels, class_names=names)
    return path


@pytest.mark.parametrize(
    ("backbone", "head", "shape", "total", "in_head"),
    [
        ("nin", "fc", "3x32x32", 973_396, 1_930 + 6_410),
        ("nin", "mlp", "3x32x32", 68_123_082, 67_158_026),
        ("nin_imagenet", "gap", "3x224x224", 2_015_398, 34_790),
        ("mlp", "gap_linear", "1x28x28", 468_874, 1_290),
        ("conv_net", "fc_dropout", "3x32x32", 209_792 + 92_320 + 1_610, 92_320 + 1_610),
    ],
)
def test_totals_and_the_heads_share(
    summary: Any, backbone: str, head: str, shape: str, total: int, in_head: int
) -> None:
    found = summary(f"backbone={backbone}", f"head={head}", "--input", shape, "--classes", "10")
    assert (found["params_total"], found["params_head"]) == (total, in_head)
    assert found["head_share"] == pytest.approx(in_head / total)
    assert found["macs"] == sum(layer["macs"] for layer in found["layers"]) > 0
    assert found["layers"][-1]["output_shape"] == [10]


def test_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run(["backbone=nin_mnist", "head=fc"]) == 0
    shown = capsys.readouterr().out
    for word in ("layer", "output", "parameters", "MACs", "field", "backbone.block1.conv", "head.linear"):
        assert word in shown
    assert "of these in the head" in shown


def test_the_shape_comes_from_headers(summary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither are images read, nor 70,000 of them enlarged."""
    monkeypatch.setattr("nin_exp.data.prepare.prepare", None)
    write_npz(tmp_path / "cifar100.npz", 32, 3, 100)
    write_npz(tmp_path / "fashion_mnist.npz", 28, 1, 10)
    fine, coarse = (
        summary("dataset=cifar100", f"dataset.labels={k}", f"data_dir={tmp_path}") for k in ("fine", "coarse")
    )
    assert (fine["layers"][-1]["output_shape"], coarse["layers"][-1]["output_shape"]) == ([100], [20])
    large = summary("dataset=fashion_mnist", "dataset.image_size=224", f"data_dir={tmp_path}")
    assert large["layers"][0]["output_shape"] == [192, 224, 224]
    placed = summary("dataset=placed_digits", "dataset.canvas=30")
    assert placed["layers"][0]["output_shape"] == [192, 30, 30]


def test_an_npz_without_names_is_read(summary: Any, tmp_path: Path) -> None:
    images = np.zeros((9, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=np.arange(9) % 3)
    assert summary("dataset=arrays", f"dataset.source={tmp_path / 'mine.npz'}")["layers"][-1]["output_shape"] == [3]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (
            ["dataset=cifar10"],
            DataError,
            "dataset=cifar10 is not in .*; give --input CxHxW --classes K, or fetch it with",
        ),
        (["--input", "3x32"], ConfigError, "--input must be CxHxW, such as 3x32x32.*, got '3x32'"),
        (["head=gap,fc"], ConfigError, "summary takes one network, got the list head=gap,fc"),
        (["--classes", "0"], ConfigError, "--classes must be at least 1, got 0"),
        (
            ["backbone=vgg11"],
            GeometryError,
            r"pool4 .*got 1x1 from an image of 8x8; the smallest image that fits is 32x32",
        ),
    ],
)
def test_bad_input(tmp_path: Path, words: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run([*words, f"data_dir={tmp_path}"])


@pytest.mark.timeout(60)
def test_an_error_from_inside_a_class_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Hydra wraps it and it is raised again: a chain of causes that bites its tail."""
    assert main(["summary", "backbone=conv_net", "backbone.kernel_size=4", "--input", "3x32x32", "--classes", "5"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("nin-exp: error: backbone.kernel_size must be odd, got 4")
    assert said.count("\n") == 1
