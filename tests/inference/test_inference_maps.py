"""Class maps, CAM, Grad-CAM and boxes against what they are defined to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from nin_exp.build import build
from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, Head, Network
from nin_exp.data.preprocess.channels import ChannelNormalization
from nin_exp.errors import ConfigError
from nin_exp.inference.explain import Explanation, explain_each, what_is_missing
from nin_exp.inference.input_spec import InputSpec
from nin_exp.inference.maps import bounding_box, class_maps, enlarge, first_filters, grad_cam, has_cam
from nin_exp.inference.predict import Predictor

CONF = Path(__file__).resolve().parents[2] / "conf"
SPEC = ImageSpec(3, 16, 16)
INPUTS = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
HEADS = sorted(path.stem for path in (CONF / "head").glob("*.yaml"))
GLOBAL = {"gap", "gap_linear", "gmp_linear"}


def network(head: str, backbone: str = "lenet") -> Network:
    torch.manual_seed(3)
    node = yaml.safe_load((CONF / "backbone" / f"{backbone}.yaml").read_text())
    trunk = build(node, "backbone", Backbone, SPEC)
    node = yaml.safe_load((CONF / "head" / f"{head}.yaml").read_text())
    features = trunk.out_spec(SPEC)
    return Network(trunk, build(node, "head", Head, features, 4, trunk.class_map_block)).eval().requires_grad_(False)


@pytest.mark.parametrize("head", HEADS)
def test_cam_where_a_global_pool_makes_the_logits(head) -> None:
    net = network(head)
    assert has_cam(net.head) == (head in GLOBAL)
    maps = class_maps(net, INPUTS)
    assert maps is not None or head not in GLOBAL
    if maps is not None:
        assert maps.shape[:2] == (2, 4)
    if head in ("gap", "gap_linear"):
        torch.testing.assert_close(maps.mean((2, 3)), net(INPUTS))


MISSING = {"fc": ["CAM"], "fc_dropout": ["CAM"], "flatten_linear": ["CAM", "maps"], "mlp": ["CAM", "maps"]}


@pytest.mark.parametrize("head", HEADS)
def test_what_a_head_has_no_picture_of_is_said(head) -> None:
    assert {*GLOBAL, *MISSING} == set(HEADS)
    notes = what_is_missing(*explained(network(head)), head)
    assert [note.split(",")[0].split(":")[0] for note in notes] == [
        f"head={head} has no {m}" for m in MISSING.get(head, [])
    ]


def test_a_backbone_without_places_says_so() -> None:
    (note,) = what_is_missing(*explained(network("gap", "mlp")), "gap")
    assert note == "the backbone's last maps are 1x1: they say what was seen, not where"


def explained(net: Network) -> tuple[Predictor, Explanation]:
    """A network with what ``explain`` needs, and what it says of one image."""
    names = tuple("abcd")
    input_spec = InputSpec(SPEC, ChannelNormalization("standardize", (0.5,) * 3, (0.25,) * 3), names)
    predictor = Predictor(net, net, input_spec, torch.device("cpu"), 4, None, channels_last=False)
    (found,) = explain_each(predictor, np.full((16, 16, 3), 90, np.uint8), None)
    assert isinstance(found, Explanation)
    return predictor, found


@pytest.mark.parametrize("head", HEADS)
def test_grad_cam_is_there_for_every_head(head) -> None:
    net = network(head)
    maps = grad_cam(net, INPUTS, torch.tensor([1, 3]))
    assert maps.shape == (2, *net.backbone(INPUTS).shape[2:])
    assert maps.min() >= 0
    assert maps.isfinite().all()
    assert not torch.equal(maps, grad_cam(net, INPUTS, torch.tensor([2, 0])))


def test_grad_cam_of_a_mean_is_cam_without_negatives() -> None:
    """Selvaraju et al. 2017, section 3.1: for a network that fits CAM both agree but for a factor and the bias."""
    net = network("gap_linear")
    features = net.backbone(INPUTS)
    weight = net.head.linear.weight
    expected = functional.conv2d(features, weight[:, :, None, None])[[0, 1], [1, 3]].relu()
    actual = grad_cam(net, INPUTS, torch.tensor([1, 3])) * features.shape[2] * features.shape[3]
    torch.testing.assert_close(actual, expected)


def test_grad_cam_of_a_flat_layer_by_hand() -> None:
    net = network("flatten_linear")
    features = net.backbone(INPUTS)
    weights = net.head.linear.weight[[1, 3]].reshape(features.shape).mean((2, 3), keepdim=True)
    torch.testing.assert_close(grad_cam(net, INPUTS, torch.tensor([1, 3])), (weights * features).sum(1).relu())


def test_a_box_by_hand() -> None:
    values = np.zeros((6, 8), np.float32)
    values[1:3, 2:5] = 1.0  # six pixels
    values[4, 7] = 4.0  # the maximum, one pixel: 20 % of it is 0.8
    assert bounding_box(values, 0.2) == (2, 1, 5, 3)
    assert bounding_box(values, 0.3) == (7, 4, 8, 5)
    assert bounding_box(np.zeros((3, 3), np.float32), 0.2) is None
    assert bounding_box(np.full((3, 3), -1.0, np.float32), 0.2) is None
    assert bounding_box(np.ones((3, 4), np.float32), 0.2) == (0, 0, 4, 3)


def test_corners_do_not_connect() -> None:
    values = np.eye(3, dtype=np.float32)
    values[2, 2] = 2.0
    assert bounding_box(values, 0.2) == (2, 2, 3, 3)


@given(
    left=st.integers(0, 12), top=st.integers(0, 9), width=st.integers(1, 8), height=st.integers(1, 6),
    peak=st.floats(0.01, 100),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_box_is_found_wherever_it_stands(left, top, width, height, peak) -> None:
    values = np.full((15, 20), -1.0, np.float32)
    values[top : top + height, left : left + width] = peak
    values[top, left] = peak * 2
    assert bounding_box(values, 0.2) == (left, top, left + width, top + height)


def test_enlarging_keeps_the_place() -> None:
    values = np.zeros((4, 4), np.float32)
    values[1, 2] = 1.0
    large = enlarge(values, 32, 16)
    assert large.shape == (16, 32)
    row, column = np.unravel_index(large.argmax(), large.shape)
    assert (row // 4, column // 8) == (1, 2)
    expected = functional.interpolate(torch.from_numpy(values)[None, None], (16, 32), mode="bilinear")
    np.testing.assert_allclose(large, expected[0, 0].numpy(), atol=1e-6)


def test_first_filters() -> None:
    net = network("gap")
    convolution = next(m for m in net.backbone.modules() if isinstance(m, nn.Conv2d))
    assert np.array_equal(first_filters(net, SPEC), convolution.weight.numpy())
    dense = network("flatten_linear", "mlp")
    filters = first_filters(dense, SPEC)
    assert filters.shape[1:] == (3, 16, 16)
    first = next(m for m in dense.backbone.modules() if isinstance(m, nn.Linear))
    image = INPUTS[0].numpy()
    response = (filters * image).sum((1, 2, 3)) + first.bias.numpy()
    np.testing.assert_allclose(response, first(INPUTS[:1].flatten(1))[0].numpy(), rtol=1e-4, atol=1e-5)


def test_explanations_of_a_run(run, test_images) -> None:
    predicted, asked = run.explain(test_images[3])[0], run.explain(test_images[3], "7")[0]
    assert predicted.class_name == predicted.prediction.class_name
    assert asked.class_name == "7"
    assert asked.probability == asked.prediction.probabilities[7]
    assert asked.kinds == ("cam", "grad_cam")
    np.testing.assert_array_equal(asked.cam, asked.class_maps[7])
    np.testing.assert_allclose(asked.class_maps.mean((1, 2)), asked.prediction.logits, atol=1e-5)
    with pytest.raises(ConfigError, match="'seven' is not a class of the run"):
        run.explain(test_images[3], "seven")


def test_maps_equal_those_kept_in_training(run, trained, test_images) -> None:
    with np.load(trained / "class_maps.npz") as file:
        indices, maps = file["indices"][:8], file["maps"][:8]
    explained = run.explain(test_images[indices])
    np.testing.assert_allclose([e.class_maps for e in explained], maps.astype(np.float32), atol=5e-3)  # kept as float16


def test_boxes_are_in_pixels_of_the_image_as_given(run, test_images) -> None:
    image = np.kron(test_images[4], np.ones((100, 150), np.uint8))  # 800 x 1200: shown smaller
    (explained,) = run.explain(image)
    assert explained.size == (1200, 800)
    assert max(explained.image.shape[:2]) == 512
    small = bounding_box(explained.heat("grad_cam"), 0.2)
    left, top, right, bottom = explained.box("grad_cam")
    assert 0 <= left < right <= 1200
    assert 0 <= top < bottom <= 800
    scale = 1200 / explained.image.shape[1]
    np.testing.assert_allclose((left, top, right, bottom), np.multiply(small, scale), atol=scale)
