"""Any model of timm (github.com/huggingface/pytorch-image-models) that gives a feature map, without its classifier.

The weights are always new: nothing is downloaded. timm is an optional dependency, imported when such a backbone is
built.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, FeatureSpec
from nin_exp.errors import ConfigError, GeometryError, nearest
from nin_exp.ranges import DropRate, validated

_LARGEST_IMAGE_TRIED = 512
_MISFITS = (RuntimeError, AssertionError, ValueError)  # what timm's models raise for a size they cannot take


class Timm(Backbone):
    """Images ``(B, C, H, W)`` to the features before timm's pooling; models with channels last are turned.

    Args:
        in_spec: shape of one image; models with attention are built for its size and fit no other.
        name: a model of ``timm.list_models()``.
        drop_path_rate: share of residual branches left out in training (stochastic depth); 0 for models without.

    Raises:
        ConfigError: timm is not installed, has no such model, or the model gives tokens instead of a map.
        GeometryError: the image does not fit.
    """

    @validated
    def __init__(self, in_spec: ImageSpec, *, name: str, drop_path_rate: DropRate) -> None:
        super().__init__()
        self.name = name
        self.in_channels = in_spec.channels
        self._settings: dict[str, Any] = {"drop_path_rate": drop_path_rate} if drop_path_rate > 0 else {}
        self._has_fixed_size = _has_fixed_size(name)
        self._built_for = in_spec
        self.model = self._create(in_spec)
        self._specs: dict[ImageSpec, FeatureSpec] = {}
        self._num_features = self.out_spec(in_spec).channels

    @property
    def num_features(self) -> int:
        return self._num_features

    def out_spec(self, in_spec: ImageSpec) -> FeatureSpec:
        if in_spec.channels != self.in_channels or (self._has_fixed_size and in_spec != self._built_for):
            raise GeometryError(f"backbone {self.name} was built for images of {self._built_for}, got {in_spec}")
        if in_spec not in self._specs:
            self._specs[in_spec] = self._probe(in_spec)
        return self._specs[in_spec]

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.model(images)
        return features.permute(0, 3, 1, 2) if self._has_channels_last else features

    @property
    def _has_channels_last(self) -> bool:
        return str(getattr(self.model, "output_fmt", "NCHW")) == "NHWC"

    def _create(self, in_spec: ImageSpec) -> nn.Module:
        import timm

        size = {"img_size": (in_spec.height, in_spec.width)} if self._has_fixed_size else {}
        settings = {"in_chans": in_spec.channels, "num_classes": 0, "global_pool": "", **size, **self._settings}
        try:
            model: nn.Module = timm.create_model(self.name, pretrained=False, **settings)
        except TypeError as error:
            raise ConfigError(
                f"backbone.name={self.name} cannot be built with {', '.join(settings)} ({error}); choose another model"
            ) from error
        except (AssertionError, ValueError) as error:
            raise self._misfit(in_spec, "its first layers", error) from error
        return model

    def _probe(self, in_spec: ImageSpec) -> FeatureSpec:
        """The feature shape, from a pass of a second model on the meta device: no memory, no random numbers."""
        entered = ["its first layer"]
        with torch.device("meta"):
            model = self._create(in_spec).eval()
            for name, layer in model.named_modules():
                if not any(True for _ in layer.children()):
                    layer.register_forward_pre_hook(lambda *_, name=name: entered.append(name))
            try:
                shape = tuple(self._pass(model, in_spec).shape)
            except _MISFITS as error:
                raise self._misfit(in_spec, entered[-1], error) from error
        if len(shape) != 4:
            raise ConfigError(
                f"backbone.name must be a model that gives a feature map, got {self.name}, which gives tokens"
                f" {shape[1:]}; choose one with convolutions or stages, such as resnet18, convnext_tiny or"
                " swin_tiny_patch4_window7_224"
            )
        channels, height, width = (shape[3], *shape[1:3]) if self._has_channels_last else shape[1:]
        return FeatureSpec(channels, height, width)

    @staticmethod
    def _pass(model: nn.Module, in_spec: ImageSpec) -> Tensor:
        with torch.no_grad():
            features: Tensor = model(torch.empty(1, in_spec.channels, in_spec.height, in_spec.width, device="meta"))
        return features

    def _misfit(self, in_spec: ImageSpec, layer: str, error: Exception) -> GeometryError:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        smallest = self._fitting_size(in_spec)
        remedy = "" if smallest is None else f"; {smallest}"
        return GeometryError(
            f"backbone {self.name}: {layer} must fit its input, got an image of {in_spec.height}x{in_spec.width}"
            f" ({reason}){remedy}: set dataset.image_size or choose another backbone"
        )

    def _fitting_size(self, in_spec: ImageSpec) -> str | None:
        """What would fit: the smallest square, or for a model of one size the one it was published with."""
        import timm

        if self._has_fixed_size:
            published = timm.get_pretrained_cfg(self.name)
            return None if published is None else f"it was published for {published.input_size[-1]} pixels"
        with torch.device("meta"):
            model = self._create(in_spec).eval()

        def fits(side: int) -> bool:
            try:
                self._pass(model, ImageSpec(in_spec.channels, side, side))
            except _MISFITS:
                return False
            return True

        fails, passes = 0, _LARGEST_IMAGE_TRIED
        if not fits(passes):
            return None
        while passes - fails > 1:  # a larger image never fits worse
            middle = (fails + passes) // 2
            fails, passes = (fails, middle) if fits(middle) else (middle, passes)
        return f"the smallest image that fits is {passes}x{passes}"


def _has_fixed_size(name: str) -> bool:
    """Whether a model is tied to the image size that it is built for.

    Raises:
        ConfigError: timm is not installed, or has no such model.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"backbone=timm needs the package timm, which is not installed (backbone.name={name});"
            " install it with: pip install 'nin-exp[timm]'"
        ) from error
    if not timm.is_model(name):  # also anything that timm would look up on a hub
        raise ConfigError(
            f"backbone.name must be a model of timm, got '{name}'.{nearest(name, timm.list_models())}"
            " timm.list_models() names all"
        )
    published = timm.get_pretrained_cfg(name)
    return published is not None and bool(published.fixed_input_size)
