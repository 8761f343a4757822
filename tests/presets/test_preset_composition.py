"""What each preset in conf/experiment says and builds, at its true sizes, without training."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from nin_exp.build import build_network, build_optimizer
from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import list_groups, shipped_config_dir
from nin_exp.config import ExperimentConfig
from nin_exp.contracts.data import ImageSpec
from nin_exp.contracts.model import Network
from nin_exp.plan.expand import plan_comparison, plan_grid, plan_single

ROOT = shipped_config_dir()
# channels, side, classes
SHAPES = {
    "cifar10": (3, 32, 10), "cifar100": (3, 32, 100), "svhn": (3, 32, 10), "mnist": (1, 28, 10),
    "fashion_mnist": (1, 28, 10), "flowers": (3, 64, 5), "digits": (1, 8, 10), "placed_digits": (1, 24, 10),
}  # fmt: skip
Compose = Callable[..., ExperimentConfig]


@pytest.fixture
def composed(composer: Composer) -> Compose:
    return lambda preset, **settings: composer.compose([("experiment", preset), *settings.items()])


def on_meta(config: ExperimentConfig) -> Network:
    channels, side, classes = SHAPES[config.choices["dataset"]]
    side = config.dataset["image_size"] or side
    with torch.device("meta"):
        return build_network(config, ImageSpec(channels, side, side), classes)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def header_of(preset: str) -> list[str]:
    lines = (ROOT / "experiment" / f"{preset}.yaml").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("#")]


def test_every_preset_on_disk_is_tested(composer: Composer) -> None:
    on_disk = {path.relative_to(ROOT / "experiment") for path in (ROOT / "experiment").rglob("*") if path.is_file()}
    assert {Path(f"{preset}.yaml") for preset in composer.groups["experiment"]} == on_disk
    named = {preset.split("/")[0] for preset in composer.groups["experiment"]}
    assert {"paper", "seed", "param_matched", "data_fractions", "quickstart"} <= named
    assert len(on_disk) >= 21


def test_header_is_a_methods_section(any_preset: str) -> None:
    header = "\n".join(header_of(any_preset))
    assert f"experiment={any_preset}" in header, "the command"
    lines = (ROOT / "experiment" / f"{any_preset}.yaml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 120
    for part in ("# Source: ", "# Expected: ", "# Time: "):
        assert part in header, part
    if any_preset.startswith("seed/"):
        assert "# Fixed: " in header
    expected, time = (re.split(r"\n# (?! )", header.split(f"# {part}: ")[1])[0] for part in ("Expected", "Time"))
    assert "CPU core" in time, "on which hardware"
    states = ("spread", "unverified", "not verified", "one run")
    assert any(word in expected for word in states), "an expected figure says how sure it is"


def test_preset_builds_at_its_true_size(composed: Compose, any_preset: str) -> None:
    config = composed(any_preset)
    network = on_meta(config)
    channels, side, classes = SHAPES[config.choices["dataset"]]
    side = config.dataset["image_size"] or side
    with torch.device("meta"):
        assert network.eval()(torch.empty(2, channels, side, side)).shape == (2, classes)


@pytest.mark.parametrize(
    ("preset", "settings", "total"),
    [
        # counts of the published systems and of the author's definitions
        ("paper/cifar10", {}, 966_986),
        ("paper/cifar10", {"head": "fc"}, 973_396),
        ("paper/cifar100", {}, 984_356),
        ("paper/svhn", {}, 1_986_026),
        ("paper/mnist", {}, 349_674),
        ("seed/numpy_nin", {}, 966_986),
        ("seed/pytorch_nin", {}, 966_986),
        ("seed/flowers", {}, 1_997_953),
        ("seed/zoo_nin", {}, 1_992_166),
        # by hand: 60 + 660, then 588-512-128-10
        ("seed/cnn_numpy_conv", {}, 369_242),
        ("seed/cnn_numpy_fc", {}, 784 * 512 + 512 + 512 * 128 + 128 + 1290),
        # 20 maps of 5x5, 50 of 3x3 on 28x28: 5x5 places, dense 128 and 10
        ("seed/zoo_lenet", {}, 520 + 9_050 + (1250 * 128 + 128) + 1290),
        # torchvision's VGG-13 (133,047,848) with one channel less and 10 classes instead of 1,000
        ("seed/zoo_vgg", {}, 133_047_848 - 2 * 64 * 9 - 990 * 4097),
        # torchvision's ResNet-18 (11,689,512) likewise
        ("seed/zoo_resnet", {}, 11_689_512 - 2 * 64 * 49 - 990 * 513),
        # the Caffe net without auxiliary classifiers (6,998,552) likewise
        ("seed/zoo_googlenet", {}, 6_998_552 - 2 * 64 * 49 - 990 * 1025),
        # by hand: 11x11x96, 5x5x96x256, 3x3 384, 384, 256; 224 -> 54 -> 26 -> 12 -> 5 places; 6400-4096-4096-10
        (
            "seed/zoo_alexnet",
            {},
            (121 * 96 + 96)
            + (2400 * 256 + 256)
            + (2304 * 384 + 384)
            + (3456 * 384 + 384)
            + (3456 * 256 + 256)
            + (6400 * 4096 + 4096)
            + (4096 * 4096 + 4096)
            + 40_970,
        ),
    ],
)
def test_parameter_counts_of_presets(composed: Compose, preset: str, settings: dict[str, str], total: int) -> None:
    assert count(on_meta(composed(preset, **settings))) == total


@pytest.mark.parametrize(
    ("preset", "weights", "biases", "last_weights", "last_biases"),
    [
        # mavenlin/cuda-convnet: epsW 1, epsB 2, weight decay 1e-5, loss weight 0.1; cccp6 epsW 0.1, epsB 0.2
        ("paper/cifar10", (0.1, 1e-4), (0.2, 0), (0.01, 1e-4), (0.02, 0)),
        ("paper/svhn", (0.1, 1e-4), (0.2, 0), (0.01, 1e-4), (0.02, 0)),
        ("paper/mnist", (0.1, 1e-4), (0.2, 0), (0.01, 1e-4), (0.02, 0)),
        # cifar-100_params: epsW 0.01, epsB 0.02, weight decay 1e-3, loss weight 2
        ("paper/cifar100", (0.02, 5e-4), (0.04, 0), (0.02, 5e-4), (0.04, 0)),
    ],
)
def test_rates_are_the_authors(
    composed: Compose,
    preset: str,
    weights: tuple[float, float],
    biases: tuple[float, float],
    last_weights: tuple[float, float],
    last_biases: tuple[float, float],
) -> None:
    config = composed(preset)
    network = on_meta(config)
    optimizer = build_optimizer(config).build(network)
    names = {id(p): name for name, p in network.named_parameters()}
    for group in optimizer.param_groups:
        assert (group["momentum"], group["nesterov"]) == (0.9, False)
        for parameter in group["params"]:
            name = names[id(parameter)]
            is_last, is_bias = name.startswith("head.maps"), name.endswith("bias")
            expected = (last_biases if is_bias else last_weights) if is_last else (biases if is_bias else weights)
            assert (group["lr"], group["weight_decay"]) == pytest.approx(expected), name
    assert config.trainer.batch_size == 128


@pytest.mark.parametrize(
    ("preset", "deviations"),
    [
        ("paper/cifar10", [0.05] * 9),
        ("paper/cifar100", [0.001, 0.01, 0.01, *[0.05] * 6]),
        ("paper/mnist", [0.05] * 9),
    ],
)
def test_initial_deviations_are_the_authors(composed: Compose, preset: str, deviations: list[float]) -> None:
    config = composed(preset)
    channels, side, classes = SHAPES[config.choices["dataset"]]
    network = build_network(config, ImageSpec(channels, side, side), classes)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.weight.std().item() for layer in layers] == pytest.approx(deviations, rel=0.08)
    assert all((layer.bias == 0).all() for layer in layers if layer.bias is not None)


def test_paper_schedules(composed: Compose) -> None:
    readme = composed("paper/cifar10")
    assert (readme.schedule["milestones"], readme.schedule["gamma"], readme.trainer.max_epochs) == (
        [200, 230],
        0.1,
        260,
    )
    for preset in ("paper/cifar10_augmented", "paper/cifar100", "paper/svhn", "paper/mnist", "paper/conventional_cnn"):
        rule = composed(preset).schedule
        assert (rule["monitor"], rule["factor"], rule["max_cuts"]) == ("train/acc", 0.1, 2), preset
    assert composed("paper/cifar10_augmented").augment["flip"] is True


def arms_and_jobs(composer: Composer, preset: str, *more: str) -> tuple[tuple[str, ...], tuple[str, ...], list[Any]]:
    plan = plan_comparison(composer, [f"experiment={preset}", *more], "")
    comparison = plan.study.comparison
    assert comparison is not None
    return comparison.arms, comparison.blocks, [ExperimentConfig.from_dict(job.config) for job in plan.jobs]


def test_table5_compares_the_papers_heads(composer: Composer) -> None:
    arms, blocks, jobs = arms_and_jobs(composer, "paper/table5")
    assert (arms, blocks, len(jobs)) == (("gap", "fc", "fc_dropout"), ("cifar10",), 18)
    assert all(job.head["relu"] for job in jobs)
    arms, _, jobs = arms_and_jobs(composer, "paper/conventional_cnn")
    assert (arms, len(jobs)) == (("fc", "fc_dropout", "gap"), 18)


def test_the_matched_pair_has_equally_many_parameters(composer: Composer) -> None:
    arms, _, jobs = arms_and_jobs(composer, "param_matched")
    assert arms == ("gap, nin_bn_matched", "fc, nin_bn")
    assert len(jobs) == 12
    counts = {job.choices["head"]: count(on_meta(job)) for job in jobs[:2]}
    assert counts == {"gap": 974_922, "fc": 974_804}


def test_every_data_fraction_has_the_same_number_of_steps(composer: Composer) -> None:
    arms, blocks, jobs = arms_and_jobs(composer, "data_fractions")
    assert (arms, len(blocks), len(jobs)) == (("gap", "fc"), 4, 48)
    for job in jobs:
        images = round(50_000 * (1 - job.dataset["val_fraction"]) * job.dataset["train_fraction"])
        steps_per_epoch = -(-images // job.trainer.batch_size)
        assert job.trainer.max_steps is not None
        assert job.trainer.max_epochs * steps_per_epoch >= job.trainer.max_steps
    assert sorted({job.dataset["train_fraction"] for job in jobs}) == [0.01, 0.05, 0.1, 1.0]


def test_a_preset_bends_to_the_command_line(composer: Composer) -> None:
    texts = ["experiment=paper/cifar10_augmented", "head=fc", "augment=none", "optimizer.lr=0.3", "debug=limit"]
    (job,) = plan_single(composer, texts, "").jobs
    config = ExperimentConfig.from_dict(job.config)
    assert (config.choices["head"], config.choices["augment"]) == ("fc", "none")
    assert (config.optimizer["lr"], config.optimizer["bias_lr_multiplier"]) == (0.3, 2.0)
    assert (config.trainer.limit_batches, config.trainer.max_epochs) == (5, 2)
    assert config.head["relu"] is True
    grid = plan_grid(composer, ["experiment=paper/cifar10,seed/pytorch_nin"], "").jobs
    assert [job.config["choices"]["experiment"] for job in grid] == ["paper/cifar10", "seed/pytorch_nin"]


def test_faults_of_the_published_systems_are_not_repeated(composed: Compose) -> None:
    googlenet = on_meta(composed("seed/zoo_googlenet"))
    sides = {c.kernel_size[0] for n, c in googlenet.named_modules() if isinstance(c, nn.Conv2d) and ".branch" in n}
    assert sides == {1, 3, 5}
    for preset in ("seed/zoo_googlenet", "seed/zoo_resnet"):
        assert composed(preset).choices["head"] == "gap_linear"
    for preset in ("seed/flowers", "seed/zoo_nin"):
        assert composed(preset).head["relu"] is False
    flowers = list(on_meta(composed("seed/flowers")).backbone.children())
    kinds = [type(layer).__name__ for layer in flowers]
    assert kinds == ["MLPConv", "MaxPool2d", "Dropout"] * 3
    assert composed("seed/numpy_nin").optimizer["momentum"] == 0.9
    assert composed("seed/numpy_nin").trainer.stop_above == 0.995


def test_debug_presets_are_all_tested() -> None:
    assert list_groups((ROOT,))["debug"] == ("fast", "limit", "overfit", "profile")


def test_preset_yaml_has_no_key_twice(any_preset: str) -> None:
    """YAML keeps the last of two equal keys in silence."""

    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: Strict, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]  # type: ignore[no-untyped-call]
        assert len(keys) == len(set(keys)), keys
        return dict(loader.construct_pairs(node, deep=True))  # type: ignore[no-untyped-call]

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    path = ROOT / "experiment" / f"{any_preset}.yaml"
    assert yaml.load(path.read_text(encoding="utf-8"), Loader=Strict)
