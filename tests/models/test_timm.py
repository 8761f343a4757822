"""Backbones of timm: shapes, refusals, and what is said where timm is missing."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, FeatureSpec, Network
from nin_exp.errors import ConfigError, GeometryError

# Importing timm takes longer than all fast tests of this folder.
installed = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="the extra timm is not installed"),
]
SMALL = ImageSpec(3, 32, 32)


def test_missing_timm_names_the_extra(choose: Callable[..., Backbone], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    message = r"backbone=timm needs the package timm, .*install it with: pip install 'nin-exp\[timm\]'"
    with pytest.raises(ConfigError, match=message):
        choose("backbone", "timm", SMALL)


class TestInstalled:
    pytestmark = installed

    @pytest.mark.parametrize(
        ("name", "side", "features", "params"),
        [
            # torchvision's ResNet-18 without its 513,000 classifier parameters
            ("resnet18", 224, FeatureSpec(512, 7, 7), 11_689_512 - 513_000),
            # a classifier's hidden convolution counts as features
            ("mobilenetv3_small_050", 64, FeatureSpec(1024, 2, 2), None),
            ("convnext_atto", 64, FeatureSpec(320, 2, 2), None),
            # built for the image, and turned from channels last; the paper's 28,288,354 less 769,000
            ("swin_tiny_patch4_window7_224", 224, FeatureSpec(768, 7, 7), 28_288_354 - 769_000),
            ("swin_tiny_patch4_window7_224", 64, FeatureSpec(768, 2, 2), None),
        ],
    )
    def test_features_and_counts(
        self, choose: Callable[..., Backbone], name: str, side: int, features: FeatureSpec, params: int | None
    ) -> None:
        spec = ImageSpec(3, side, side)
        with torch.device("meta"):
            backbone = choose("backbone", "timm", spec, name=name)
            assert backbone(torch.empty(2, 3, side, side)).shape == (2, features.channels, *features_size(features))
        assert backbone.out_spec(spec) == features
        assert backbone.num_features == features.channels
        if params is not None:
            assert sum(p.numel() for p in backbone.parameters()) == params

    def test_a_feature_is_where_the_object_is(self, choose: Callable[..., Backbone]) -> None:
        """Channels last, turned: what a region of the image changes stands in that region of the map."""
        spec = ImageSpec(3, 64, 64)
        torch.manual_seed(0)
        backbone = choose("backbone", "timm", spec, name="swin_tiny_patch4_window7_224").eval()
        plain, changed = torch.zeros(2, 1, 3, 64, 64)
        changed = changed.clone()
        changed[:, :, :32, 32:] = torch.randn(3, 32, 32)
        with torch.no_grad():
            difference = (backbone(changed) - backbone(plain)).abs().sum((0, 1))
        assert difference.argmax() == 1  # of 2x2 places, row by row

    def test_a_convolutional_model_takes_other_sizes(self, choose: Callable[..., Backbone]) -> None:
        backbone = choose("backbone", "timm", SMALL, name="resnet10t").eval()
        assert backbone.out_spec(ImageSpec(3, 96, 64)) == FeatureSpec(512, 3, 2)
        with torch.no_grad():
            assert backbone(torch.zeros(1, 3, 96, 64)).shape == (1, 512, 3, 2)

    def test_the_random_state_is_left_alone_by_the_probe(self, choose: Callable[..., Backbone]) -> None:
        backbone = choose("backbone", "timm", SMALL, name="resnet10t")
        state = torch.get_rng_state()
        backbone.out_spec(ImageSpec(3, 40, 40))
        assert torch.equal(torch.get_rng_state(), state)

    def test_gap_and_fc_fit(self, network_of: Callable[..., Network], choose: Callable[..., Any]) -> None:
        backbone = choose("backbone", "timm", SMALL, name="resnet10t")
        for head in ("gap", "fc"):
            assert network_of(backbone, head, SMALL)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)

    @pytest.mark.parametrize(
        ("overrides", "side", "error", "message"),
        [
            ({"name": "resnet81"}, 32, ConfigError, r"must be a model of timm, got 'resnet81'\. Did you mean 'resnet"),
            ({"name": "hf-hub:timm/resnet18"}, 32, ConfigError, "must be a model of timm, got 'hf-hub:timm/resnet18'"),
            (
                {"name": "vit_tiny_patch16_224"},
                32,
                ConfigError,
                r"gives tokens \(5, 192\); choose one with convolutions or stages, such as resnet18",
            ),
            ({"name": "vgg11", "drop_path_rate": 0.1}, 64, ConfigError, "cannot be built with .*drop_path_rate"),
            # 75 pixels: also torchvision's documented minimum
            (
                {"name": "inception_v3"},
                64,
                GeometryError,
                r"Mixed_7a\.branch3x3_2\.conv must fit its input, got an image of 64x64 .*image that fits is 75x75",
            ),
            ({"name": "maxvit_pico_rw_256"}, 50, GeometryError, "published for 256 pixels: set dataset.image_size"),
        ],
    )
    def test_refusals(
        self,
        choose: Callable[..., Backbone],
        overrides: dict[str, Any],
        side: int,
        error: type[Exception],
        message: str,
    ) -> None:
        with torch.device("meta"), pytest.raises(error, match=message):
            choose("backbone", "timm", ImageSpec(3, side, side), **overrides)

    def test_images_of_another_kind_are_refused(self, choose: Callable[..., Backbone]) -> None:
        with torch.device("meta"):
            backbone = choose("backbone", "timm", SMALL, name="resnet10t")
            swin = choose("backbone", "timm", ImageSpec(3, 64, 64), name="swin_tiny_patch4_window7_224")
        with pytest.raises(GeometryError, match="resnet10t was built for images of 3x32x32, got 1x32x32"):
            backbone.out_spec(ImageSpec(1, 32, 32))
        with pytest.raises(GeometryError, match="was built for images of 3x64x64, got 3x96x96"):
            swin.out_spec(ImageSpec(3, 96, 96))

    def test_drop_path_reaches_the_blocks(self, choose: Callable[..., Backbone]) -> None:
        with torch.device("meta"):
            backbone = choose("backbone", "timm", SMALL, name="resnet10t", drop_path_rate=0.2)
        rates = [layer.drop_prob for layer in backbone.modules() if type(layer).__name__ == "DropPath"]
        assert rates
        assert max(rates) == pytest.approx(0.2)


def features_size(features: FeatureSpec) -> tuple[int, int]:
    return features.height, features.width
