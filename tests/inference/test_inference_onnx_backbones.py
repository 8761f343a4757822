"""Every backbone on disk has an ONNX form at the size of images it was made for, which says what torch says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from PIL import Image

from nin_exp.build import build
from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, Head, Network
from nin_exp.data.preprocess.channels import ChannelNormalization
from nin_exp.inference.export.onnx_format import run_onnx, to_onnx
from nin_exp.inference.export.sample import SampleImages
from nin_exp.inference.images import Levels
from nin_exp.inference.input_spec import InputSpec
from nin_exp.inference.predict import Predictor
from nin_exp.layers.init import initialise

CONF = Path(__file__).resolve().parents[2] / "conf"
BACKBONES = sorted(path.stem for path in (CONF / "backbone").glob("*.yaml"))
# (channels, side) of the images a backbone was made for; of the others CIFAR's.
NATIVE = {
    **dict.fromkeys(("lenet", "lenet_caffe", "conv_fc", "mlp", "nin_mnist"), (1, 28)),
    **dict.fromkeys(("alexnet", "nin_imagenet", "googlenet", "resnet18", "resnet34", "timm"), (3, 224)),
    **dict.fromkeys(("vgg11", "vgg11_bn", "vgg13", "vgg16", "vgg19"), (3, 224)),
}
FACTS = {"nin_exp_schema": "1", "nin_exp_version": "0", "class_names": "[]"}


def as_it_begins(name: str, spec: ImageSpec) -> Network:
    """A backbone with head=gap; weights of a scheme in which signals neither die nor grow, statistics as after use."""
    trunk = build(yaml.safe_load((CONF / "backbone" / f"{name}.yaml").read_text()), "backbone", Backbone, spec)
    head = yaml.safe_load((CONF / "head" / "gap.yaml").read_text())
    network = Network(trunk, build(head, "head", Head, trunk.out_spec(spec), 10, trunk.class_map_block))
    rng = torch.Generator().manual_seed(0)
    initialise(network, "kaiming", 0.05, rng)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.1, generator=rng)
            layer.running_var.uniform_(0.5, 1.5, generator=rng)
    return network.eval().requires_grad_(False)


def photographs(spec: ImageSpec, count: int, data: Path | None) -> Levels:
    """Flowers at the wanted size, where they are; else noise of that size, enlarged from coarser ones."""
    sources = [] if data is None else sorted((data / "flowers").rglob("*.jpg"))[:: 3000 // count][:count]
    rng = np.random.default_rng(0)
    pictures = [Image.open(path) for path in sources] or [
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(count)
    ]
    mode = "L" if spec.channels == 1 else "RGB"
    fitted = [picture.convert(mode).resize((spec.width, spec.height)) for picture in pictures]
    return np.stack([np.asarray(picture).reshape(spec.height, spec.width, spec.channels) for picture in fitted])


def test_every_size_is_of_a_backbone_on_disk() -> None:
    assert set(NATIVE) <= set(BACKBONES)
    assert len(BACKBONES) >= 27


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_onnx_says_what_torch_says(name, find_real_data) -> None:
    target = yaml.safe_load((CONF / "backbone" / f"{name}.yaml").read_text())["_target_"]
    if target.endswith(".Timm") and importlib.util.find_spec("timm") is None:
        pytest.skip("the extra timm is not installed")
    channels, side = NATIVE.get(name, (3, 32))
    spec = ImageSpec(channels, side, side)
    network = as_it_begins(name, spec)
    preprocessing = ChannelNormalization("standardize", (0.45,) * channels, (0.25,) * channels)
    names = tuple("abcdefghij")
    predictor = Predictor(
        network, network, InputSpec(spec, preprocessing, names), torch.device("cpu"), 8, None, channels_last=False
    )
    levels = photographs(spec, 4 if side == 224 else 20, find_real_data)
    exported = to_onnx(predictor, FACTS, SampleImages(levels, "images"))
    check = json.loads(
        {p.key: p.value for p in onnx.load_from_string(exported.content).metadata_props}["nin_exp_check"]
    )
    assert check["max_probability_difference"] < 1e-5
    wanted = predictor.logits(levels)
    assert wanted.std() > 1e-3  # an answer that depends on nothing would agree with anything
    for count in (1, 3):  # of any batch
        probabilities, logits = run_onnx(exported.content, levels[:count])
        np.testing.assert_allclose(logits, wanted[:count], atol=1e-3 * float(wanted.abs().max()))
        np.testing.assert_allclose(probabilities, wanted[:count].softmax(1), atol=1e-5)
        assert (probabilities.argmax(1) == wanted[:count].argmax(1).numpy()).all()
