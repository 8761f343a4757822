"""Preprocessing as a part of a network's graph, in the arithmetic of ``nin_exp.data.preprocess``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nin_exp.contracts.data import ImageSpec, Preprocessing
from nin_exp.data.preprocess.channels import ChannelNormalization
from nin_exp.data.preprocess.gcn import GlobalContrast
from nin_exp.data.preprocess.lcn import LocalContrast
from nin_exp.data.preprocess.zca import Whitening
from nin_exp.errors import ConfigError


def preparation(preprocessing: Preprocessing, spec: ImageSpec) -> nn.Module:
    """A module from uint8 ``(N, H, W, C)`` to the network's float32 ``(N, C, H, W)``.

    Raises:
        ConfigError: the preprocessing is a user's own, which no graph can hold.
    """
    if isinstance(preprocessing, ChannelNormalization):
        return _ByChannel(preprocessing)
    if isinstance(preprocessing, GlobalContrast):
        return _Contrast(preprocessing)
    if isinstance(preprocessing, Whitening):
        return _Whitened(preprocessing, spec)
    if isinstance(preprocessing, LocalContrast):
        return _LocalContrast(preprocessing, spec)
    kind = preprocessing.settings()["kind"]
    raise ConfigError(f"dataset.preprocess={kind} has no form in a graph; use --format safetensors or numpy")


class _ByChannel(nn.Module):
    def __init__(self, preprocessing: ChannelNormalization) -> None:
        super().__init__()
        self.scale = nn.Buffer(torch.from_numpy(preprocessing.scale).view(1, -1, 1, 1))
        self.shift = nn.Buffer(torch.from_numpy(preprocessing.shift).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2).float() * self.scale + self.shift


class _Contrast(nn.Module):
    def __init__(self, preprocessing: GlobalContrast) -> None:
        super().__init__()
        self.scale, self.min_divisor = preprocessing.scale, preprocessing.min_divisor

    def forward(self, images: Tensor) -> Tensor:
        return self.normalised(images).float().permute(0, 3, 1, 2)

    def normalised(self, images: Tensor) -> Tensor:
        """float64 ``(N, H, W, C)``."""
        values = images.double()
        values = values - values.mean((1, 2, 3), keepdim=True)
        divisors = (values * values).sum((1, 2, 3), keepdim=True).sqrt() / self.scale
        return values / torch.where(divisors < self.min_divisor, torch.ones_like(divisors), divisors)


class _Whitened(nn.Module):
    def __init__(self, preprocessing: Whitening, spec: ImageSpec) -> None:
        super().__init__()
        self.contrast = _Contrast(preprocessing.contrast)
        self.spec = spec
        self.mean = nn.Buffer(torch.from_numpy(preprocessing.mean.copy()))
        self.matrix = nn.Buffer(torch.from_numpy(preprocessing.matrix.copy()))

    def forward(self, images: Tensor) -> Tensor:
        centred = self.contrast.normalised(images).flatten(1) - self.mean.double()
        whitened = centred.float() @ self.matrix
        return whitened.view(-1, self.spec.height, self.spec.width, self.spec.channels).permute(0, 3, 1, 2)


class _LocalContrast(nn.Module):
    def __init__(self, preprocessing: LocalContrast, spec: ImageSpec) -> None:
        super().__init__()
        self.threshold = preprocessing.threshold
        self.rows = nn.Buffer(torch.from_numpy(preprocessing.averages(spec.height)))
        self.columns = nn.Buffer(torch.from_numpy(preprocessing.averages(spec.width).T.copy()))

    def forward(self, images: Tensor) -> Tensor:
        planes = images.permute(0, 3, 1, 2).double() / 255
        centred = planes - self.rows @ planes @ self.columns
        deviation = (self.rows @ (centred * centred) @ self.columns).sqrt()
        least = deviation.mean((2, 3), keepdim=True).clamp(min=self.threshold)
        return (centred / torch.maximum(deviation, least)).float()
