"""A norm over a batch of one image of one pixel has no deviation: refused before training, not in the last batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Network
from nin_exp.errors import ConfigError
from nin_exp.layers.batch_norm import check_batches
from nin_exp.layers.summary import summarize


@pytest.mark.parametrize(
    ("backbone", "side", "settings", "is_refused"),
    [
        ("resnet18", 28, (129, 128, 1), True),
        ("resnet18", 28, (130, 128, 1), False),
        ("resnet18", 28, (256, 128, 1), False),
        ("resnet18", 28, (1, 128, 1), True),
        ("resnet18", 28, (258, 128, 2), True),  # parts of 64 and 64, then of 1 and 1
        ("resnet18", 28, (131, 128, 2), True),  # then of 2 and 1
        ("resnet18", 64, (129, 128, 1), False),  # maps of 2x2
        ("vgg11", 32, (129, 128, 1), False),  # no norm
    ],
)
def test_one_image_on_one_pixel(
    choose: Callable[..., Any],
    network_of: Callable[..., Network],
    backbone: str,
    side: int,
    settings: tuple[int, int, int],
    is_refused: bool,
) -> None:
    spec = ImageSpec(3, side, side)
    with torch.device("meta"):
        network = network_of(choose("backbone", backbone, spec, width=0.1), "gap", spec)
    summary = summarize(network, spec)
    num_images, batch_size, accumulate = settings
    given = {"num_images": num_images, "batch_size": batch_size, "accumulate": accumulate}
    if not is_refused:
        check_batches(summary, **given)
        return
    message = rf"batch_size must leave no batch of one image for backbone\.stage4\.block1\.norm1.*got {batch_size}"
    with pytest.raises(ConfigError, match=message):
        check_batches(summary, **given)


@pytest.mark.parametrize("accumulate", range(1, 9))
def test_parts_are_torchs(accumulate: int) -> None:
    from nin_exp.layers.batch_norm import _smallest_part

    for size in range(1, 40):
        assert _smallest_part(size, accumulate) == min(len(part) for part in torch.arange(size).chunk(accumulate))


def test_torch_refuses_it_too(choose: Callable[..., Any], network_of: Callable[..., Network]) -> None:
    spec = ImageSpec(3, 28, 28)
    network = network_of(choose("backbone", "resnet18", spec, width=0.1), "gap", spec).train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.zeros(1, 3, 28, 28))


def test_a_job_is_refused_before_it_trains(tmp_path: Path) -> None:
    from nin_exp.compose.composer import Composer
    from nin_exp.compose.groups import shipped_config_dir
    from nin_exp.plan.expand import plan_single
    from nin_exp.train.run import train

    words = ["backbone=resnet18", "backbone.width=0.1", "dataset=digits", "dataset.image_size=28"]
    sizes = ["dataset.train_limit=65", "trainer.batch_size=64", "trainer.accelerator=cpu", f"runs_dir={tmp_path}"]
    (job,) = plan_single(Composer((shipped_config_dir(),)), [*words, *sizes], "").jobs
    with pytest.raises(ConfigError, match=r"got 64 for 65 training images; change it, or dataset\.image_size"):
        train(job, threads=1)
