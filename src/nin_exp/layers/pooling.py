"""Pooling and dropout layers chosen by name."""

from __future__ import annotations

from typing import Literal

from torch import nn


def pooling(kind: Literal["max", "avg"], *, kernel: int, stride: int, ceil_mode: bool) -> nn.Module:
    """A max or average pool. In ceil mode an average divides by the pixels inside the image alone."""
    if kind == "max":
        return nn.MaxPool2d(kernel, stride, ceil_mode=ceil_mode)
    return nn.AvgPool2d(kernel, stride, ceil_mode=ceil_mode)


def dropout(rate: float, *, per_channel: bool) -> nn.Module:
    """Dropout of single values, or of whole channels (Dropout2d); ``rate`` is the share set to zero.

    Values of one map are correlated, so dropping them one by one regularises less than dropping channels
    (Tompson et al. 2015, arXiv 1411.4280, section 3.2); the paper's NiN drops single values.
    """
    return nn.Dropout2d(rate) if per_channel else nn.Dropout(rate)
