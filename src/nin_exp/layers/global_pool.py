"""Pooling over all places of a feature map, for any image size."""

from __future__ import annotations

from torch import Tensor, nn


class GlobalAveragePool(nn.Module):
    """``(B, C, H, W)`` to ``(B, C)``, the mean over places; its gradient is 1/(H*W) of the output's."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean((2, 3))


class GlobalMaxPool(nn.Module):
    """``(B, C, H, W)`` to ``(B, C)``, the maximum over places; ties share the gradient."""

    def forward(self, features: Tensor) -> Tensor:
        return features.amax((2, 3))
