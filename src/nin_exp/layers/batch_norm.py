"""What batch norm asks of a batch: more than one value of each channel."""

from __future__ import annotations

import math

from nin_exp.errors import ConfigError
from nin_exp.layers.summary import NetworkSummary


def check_batches(summary: NetworkSummary, *, num_images: int, batch_size: int, accumulate: int) -> None:
    """Refuse a split whose smallest batch is one image where a norm over the batch sees maps of 1x1.

    Args:
        summary: of the network, for one image.
        num_images: of the training split, at least 1.
        batch_size: images of a step; an epoch's last batch has what is left.
        accumulate: parts that a batch is computed in.

    Raises:
        ConfigError: names the layer.
    """
    single = next(
        (
            layer.name
            for layer in summary.layers
            if layer.kind.startswith("BatchNorm") and math.prod(layer.output_shape[1:]) == 1
        ),
        None,
    )
    if single is None or all(_smallest_part(size, accumulate) > 1 for size in _sizes(num_images, batch_size)):
        return
    parts = "" if accumulate == 1 else f" in trainer.accumulate={accumulate} parts"
    raise ConfigError(
        f"trainer.batch_size must leave no batch of one image for {single}, whose maps have one pixel: its norm needs"
        f" two values; got {batch_size}{parts} for {num_images} training images; change it, or dataset.image_size"
    )


def _sizes(num_images: int, batch_size: int) -> set[int]:
    """Sizes of an epoch's batches."""
    whole, rest = divmod(num_images, batch_size)
    return {size for size, count in ((batch_size, whole), (rest, rest)) if count}


def _smallest_part(size: int, accumulate: int) -> int:
    """Of a batch that ``torch.chunk`` divides."""
    part = -(-size // accumulate)
    return size - part * ((size - 1) // part)
