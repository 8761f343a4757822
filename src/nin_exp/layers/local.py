"""Locally connected layer: a convolution with weights of its own at every place."""

from __future__ import annotations

from torch import Tensor, nn

from nin_exp.contracts.model import FeatureSpec
from nin_exp.errors import GeometryError


class LocallyConnected(nn.Module):
    """``(B, C, H, W)`` to ``(B, out_channels, H, W)``, for one size only; zero padding keeps the size.

    Args:
        in_spec: shape of the input.
        out_channels: channels of the output.
        kernel_size: side of the window in pixels, odd.
    """

    def __init__(self, in_spec: FeatureSpec, out_channels: int, *, kernel_size: int) -> None:
        super().__init__()
        self.in_spec = in_spec
        self.out_channels = out_channels
        self.patches = nn.Unfold(kernel_size, padding=kernel_size // 2)
        places = in_spec.height * in_spec.width
        # One group a place: a 1-pixel convolution whose fan-in is that of one window, so any init rule fits.
        self.weights = nn.Conv1d(
            places * in_spec.channels * kernel_size**2, places * out_channels, kernel_size=1, groups=places
        )

    def forward(self, features: Tensor) -> Tensor:
        """Apply the weights of each place.

        Raises:
            GeometryError: the features come from another image size.
        """
        batch, channels, height, width = features.shape
        if (channels, height, width) != (self.in_spec.channels, self.in_spec.height, self.in_spec.width):
            raise GeometryError(
                f"locally connected layer must get {self.in_spec}, got {channels}x{height}x{width};"
                " give images of the training size"
            )
        patches = self.patches(features).transpose(1, 2).reshape(batch, -1, 1)
        maps: Tensor = self.weights(patches).reshape(batch, height * width, self.out_channels)
        return maps.transpose(1, 2).reshape(batch, self.out_channels, height, width)
