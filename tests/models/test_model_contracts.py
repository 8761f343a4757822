"""What every choice in conf/backbone, conf/head, conf/optimizer and conf/schedule keeps; found by glob."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Backbone, FeatureSpec, Head, Network
from nin_exp.contracts.optim import OptimizerFactory, ScheduleFactory
from nin_exp.errors import GeometryError
from nin_exp.layers.chain import ChainBackbone
from nin_exp.layers.geometry import smallest_image
from nin_exp.layers.init import initialise

CONF = Path(__file__).parents[2] / "conf"
CONTRACTS: dict[str, tuple[str, type[Any], tuple[str, ...]]] = {
    # group: package, contract, arguments that are given when it is built
    "backbone": ("nin_exp.backbones", Backbone, ("in_spec",)),
    "head": ("nin_exp.heads", Head, ("in_spec", "num_classes", "class_map_block")),
    "optimizer": ("nin_exp.optim", OptimizerFactory, ()),
    "schedule": ("nin_exp.optim", ScheduleFactory, ()),
}
FEATURES = FeatureSpec(6, 5, 4)


LARGE = ImageSpec(3, 256, 256)


def fits(choose: Callable[..., Backbone], name: str, side: int) -> bool:
    """Whether a square image fits; a backbone tied to its size is built anew for each."""
    spec = ImageSpec(3, side, side)
    try:
        with torch.device("meta"):
            choose("backbone", name, spec).out_spec(spec)
    except GeometryError:
        return False
    return True


@pytest.fixture
def small_sizes(choose: Callable[..., Backbone], backbone_name: str) -> tuple[int, int]:
    """Two image sides; at the smallest one a norm over a batch may have nothing but the batch."""
    with torch.device("meta"):
        backbone = choose("backbone", backbone_name, LARGE)
    if isinstance(backbone, ChainBackbone):
        smallest = max(smallest_image(backbone.windows()) or (LARGE.height,))
    else:
        smallest = next(side for side in range(1, 400) if fits(choose, backbone_name, side))
    return max(8, smallest + 3), max(8, smallest + 3) + 9


def test_smallest_image_of_each_backbone(choose: Callable[..., Backbone], backbone_name: str) -> None:
    with torch.device("meta"):
        backbone = choose("backbone", backbone_name, LARGE)
    if isinstance(backbone, ChainBackbone):
        side, _ = smallest_image(backbone.windows()) or (0, 0)
        assert fits(choose, backbone_name, side)
        assert side == 1 or not fits(choose, backbone_name, side - 1)


@pytest.fixture
def small_backbone(
    choose: Callable[..., Backbone], read: Callable[..., Any], backbone_name: str
) -> Callable[[ImageSpec], Backbone]:
    """Builds the backbone, at a quarter of its width where it has that setting: the same code, less work."""
    smaller = {"width": 0.25, "name": "resnet10t"}  # the latter: a model of a wrapped package
    overrides = {key: value for key, value in smaller.items() if key in read("backbone", backbone_name)[1]}
    return lambda in_spec: choose("backbone", backbone_name, in_spec, **overrides)


def started(module: nn.Module) -> nn.Module:
    initialise(module, "kaiming", 0.05, torch.Generator().manual_seed(0))
    return module


def images(batch: int, channels: int, side: int) -> Tensor:
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(side))


@pytest.mark.parametrize("group", CONTRACTS)
def test_every_file_on_disk_is_tested(group: str, choices: Callable[[str], list[str]]) -> None:
    on_disk = [path for path in (CONF / group).rglob("*") if path.is_file()]
    assert len(choices(group)) == len(on_disk) > 0


@pytest.mark.parametrize("group", CONTRACTS)
def test_every_class_has_a_yaml(
    group: str, choices: Callable[[str], list[str]], read: Callable[..., Any], classes_in: Callable[..., Any]
) -> None:
    package, contract, _ = CONTRACTS[group]
    named = {read(group, name)[0] for name in choices(group)}
    defined = {member for members in classes_in(package, contract).values() for member in members}
    assert defined == named


@pytest.mark.parametrize("group", CONTRACTS)
def test_yaml_gives_every_argument_and_no_other(
    group: str, choices: Callable[[str], list[str]], read: Callable[..., Any]
) -> None:
    _, contract, supplied = CONTRACTS[group]
    for name in choices(group):
        target, arguments = read(group, name)
        assert issubclass(target, contract), name
        parameters = inspect.signature(target).parameters
        assert list(parameters)[: len(supplied)] == list(supplied), name
        assert set(parameters) == {*supplied, *arguments}, name
        assert all(p.kind is p.KEYWORD_ONLY for key, p in parameters.items() if key not in supplied), name
        assert all(p.default is p.empty for p in parameters.values()), f"{name}: a default stands in Python too"


@pytest.mark.parametrize("group", CONTRACTS)
def test_yaml_is_short_and_starts_with_its_source(group: str, choices: Callable[[str], list[str]]) -> None:
    for name in choices(group):
        lines = (CONF / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# "), name
        assert len(lines) <= 30, name


@pytest.mark.parametrize("channels", [1, 3])
def test_backbone_output_is_its_out_spec(
    choose: Callable[..., Backbone], backbone_name: str, small_sizes: tuple[int, int], channels: int
) -> None:
    for side in small_sizes:
        spec = ImageSpec(channels, side, side + 1)
        with torch.device("meta"):
            backbone = choose("backbone", backbone_name, spec)
            out = backbone(torch.empty(2, channels, side, side + 1))
        expected = backbone.out_spec(spec)
        assert expected.channels == backbone.num_features
        assert out.shape == (2, expected.channels, expected.height, expected.width)


def test_backbone_gradients_reach_every_parameter(
    small_backbone: Callable[[ImageSpec], Backbone], small_sizes: tuple[int, int]
) -> None:
    backbone = started(small_backbone(ImageSpec(3, small_sizes[1], small_sizes[1])))
    torch.manual_seed(0)
    out = backbone.train()(images(4, 3, small_sizes[1]))
    out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(1)))
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


def test_backbone_in_evaluation(small_backbone: Callable[[ImageSpec], Backbone], small_sizes: tuple[int, int]) -> None:
    """A batch of one works, the result does not change, and one image does not see the others."""
    backbone = started(small_backbone(ImageSpec(3, small_sizes[0], small_sizes[0]))).eval()
    batch = images(3, 3, small_sizes[0])
    with torch.no_grad():
        together, again, alone = backbone(batch), backbone(batch), backbone(batch[:1])
    assert torch.equal(together, again)
    torch.testing.assert_close(alone, together[:1], atol=1e-4, rtol=1e-3)


def test_backbone_state_round_trip(
    small_backbone: Callable[[ImageSpec], Backbone], small_sizes: tuple[int, int], tmp_path: Path
) -> None:
    spec = ImageSpec(3, small_sizes[0], small_sizes[0])
    first = started(small_backbone(spec))
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = small_backbone(spec)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    batch = images(2, 3, small_sizes[0])
    with torch.no_grad():
        assert torch.equal(first.eval()(batch), second.eval()(batch))
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_backbone_is_initialised_completely(
    small_backbone: Callable[[ImageSpec], Backbone], small_sizes: tuple[int, int]
) -> None:
    """Two backbones built under different random states are equal after initialise with one seed."""
    spec = ImageSpec(3, small_sizes[0], small_sizes[0])
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(started(small_backbone(spec)).state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_backbone_takes_every_head(
    choose: Callable[..., Any], choices: Callable[[str], list[str]], backbone_name: str, small_sizes: tuple[int, int]
) -> None:
    spec = ImageSpec(3, small_sizes[0], small_sizes[0])
    with torch.device("meta"):
        backbone = choose("backbone", backbone_name, spec)
        features = backbone(torch.empty(2, 3, spec.height, spec.width))
        for name in choices("head"):
            head = choose("head", name, backbone.out_spec(spec), 7, backbone.class_map_block)
            assert head(features).shape == (2, 7), name
            maps = head.class_maps(features)
            assert maps is None or maps.shape[:2] == (2, 7), name


def head_of(choose: Callable[..., Head], name: str, spec: FeatureSpec = FEATURES) -> Head:
    head = choose("head", name, spec, 7, lambda num_classes: nn.Conv2d(spec.channels, num_classes, 1))
    started(head)
    return head


@pytest.mark.parametrize("spec", [FEATURES, FeatureSpec(3, 1, 9)])
def test_head_gives_one_logit_a_class(choose: Callable[..., Head], head_name: str, spec: FeatureSpec) -> None:
    logits = head_of(choose, head_name, spec)(torch.randn(2, spec.channels, spec.height, spec.width))
    assert logits.shape == (2, 7)


def test_head_gradients_reach_every_parameter(choose: Callable[..., Head], head_name: str) -> None:
    head = head_of(choose, head_name)
    torch.manual_seed(0)
    logits = head.train()(torch.randn(8, 6, 5, 4))
    logits.backward(torch.randn(8, 7, generator=torch.Generator().manual_seed(1)))
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


def test_head_in_evaluation(choose: Callable[..., Head], head_name: str) -> None:
    head = head_of(choose, head_name).eval()
    features = torch.randn(3, 6, 5, 4)
    with torch.no_grad():
        together, again, alone = head(features), head(features), head(features[:1])
    assert torch.equal(together, again)
    torch.testing.assert_close(alone, together[:1], atol=1e-5, rtol=1e-4)


def test_head_state_round_trip(choose: Callable[..., Head], head_name: str, tmp_path: Path) -> None:
    first, second = (
        head_of(choose, head_name),
        choose("head", head_name, FEATURES, 7, lambda k: nn.Conv2d(6, k, 1)),
    )
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    features = torch.randn(2, 6, 5, 4)
    with torch.no_grad():
        assert torch.equal(first.eval()(features), second.eval()(features))


def test_optimizer_and_schedule_lower_the_loss(
    choose: Callable[..., Any], network_of: Callable[..., Network], optimizer_name: str, schedule_name: str
) -> None:
    """Every pair trains a small NiN on 16 images for 12 steps, at the optimizer's own rate."""
    spec = ImageSpec(1, 8, 8)
    backbone = choose("backbone", "nin_mnist", spec, width=0.2, dropout=0.0)
    network = network_of(backbone, "gap", spec, 4)
    started(network)
    batch, labels = images(16, 1, 8), torch.arange(16) % 4
    optimizer = choose("optimizer", optimizer_name).build(network)
    built = choose("schedule", schedule_name).build(optimizer, total_steps=12, steps_per_epoch=4)
    losses = []
    for step in range(12):
        loss = nn.functional.cross_entropy(network(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if built.interval == "step":
            built.scheduler.step()
        elif step % 4 == 3:
            built.scheduler.step(loss.item())  # type: ignore[call-arg]
        losses.append(loss.item())
    assert math.isfinite(losses[-1])
    assert losses[-1] < 0.98 * losses[0]
