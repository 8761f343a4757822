"""``nin-exp summary``: the layer table of a network."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from nin_exp.cli.flags import add_config_flags, composer_for, make_parser
from nin_exp.errors import ConfigError, DataError


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser(
        "summary",
        "Layer table of a network: output shapes, parameters, MACs, receptive field.",
        "example:\n  nin-exp summary backbone=nin head=fc --input 3x32x32 --classes 10",
    )
    add_config_flags(parser)
    parser.add_argument("--input", metavar="CxHxW", help="image shape (default: the data set's)")
    parser.add_argument("--classes", type=int, metavar="K", help="number of classes (default: the data set's)")
    args = parser.parse(arguments)
    if args.classes is not None and args.classes < 1:
        raise ConfigError(f"--classes must be at least 1, got {args.classes}")
    composer = composer_for(args)
    settings = composer.settings(args.overrides)
    swept = [str(s) for s in settings if s.swept]
    if swept:
        raise ConfigError(f"summary takes one network, got the list {swept[0]}; give one value")
    config = composer.compose([(s.key, s.values[0]) for s in settings])
    summary = _summarise(config, args, composer.allowed_packages)
    if args.json:
        print(json.dumps(summary.as_dict(), indent=1))
    else:
        _print(summary)
    return 0


def _summarise(config: Any, args: Any, allowed_packages: tuple[str, ...]) -> Any:
    import torch

    from nin_exp.build import build_network
    from nin_exp.layers.summary import summarize

    spec, num_classes = _parse_input(args.input), args.classes
    if spec is None or num_classes is None:
        found = _shape_of_data(config, allowed_packages)
        spec = found[0] if spec is None else spec
        num_classes = found[1] if num_classes is None else num_classes
    with torch.device("meta"):
        network = build_network(config, spec, num_classes, allowed_packages)
    return summarize(network, spec)


def _shape_of_data(config: Any, allowed_packages: tuple[str, ...]) -> tuple[Any, int]:
    """Shape of one image and number of classes: from headers where they tell, else the data are read; never fetched."""
    from nin_exp.build import build_dataset
    from nin_exp.contracts.data import ImageSpec
    from nin_exp.data.folder import resolve_data_dir
    from nin_exp.data.location import Locatable
    from nin_exp.data.prepare import prepare

    source, data_dir = build_dataset(config, allowed_packages), resolve_data_dir(config.data_dir)
    location = source.locate(data_dir) if isinstance(source, Locatable) else None
    if location is not None and not location.is_here:
        name = config.choices["dataset"]
        raise DataError(
            f"dataset={name} is not in {data_dir}, so its shape is not known; give --input CxHxW --classes K,"
            f" or fetch it with `nin-exp data prepare {name}`"
        )
    if location is None or location.shape is None or location.num_classes is None:
        data = prepare(source, data_dir, config.split_seed)
        return data.image_spec, data.num_classes
    height, width, channels = location.shape
    side = source.image_size
    return ImageSpec(channels, side or height, side or width), location.num_classes


def _parse_input(text: str | None) -> Any:
    from nin_exp.contracts.data import ImageSpec

    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(re.fullmatch("[1-9][0-9]{0,4}", part) for part in parts):
        raise ConfigError(f"--input must be CxHxW, such as 3x32x32, each at most 99999, got '{text}'")
    return ImageSpec(*map(int, parts))


def _print(summary: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for name, align in (
        ("layer", "left"),
        ("type", "left"),
        ("output", "right"),
        ("parameters", "right"),
        ("MACs", "right"),
        ("field", "right"),
    ):
        table.add_column(name, justify=align)  # type: ignore[arg-type]
    for layer in summary.layers:
        field = "" if layer.receptive_field is None else str(layer.receptive_field)
        shape = "x".join(map(str, layer.output_shape))
        table.add_row(layer.name, layer.kind, shape, f"{layer.params:,}", f"{layer.macs:,}", field)
    console = Console()
    console.print(table)
    share = summary.params_head / max(1, summary.params_total)
    console.print(
        f"parameters {summary.params_total:,}, of these in the head {summary.params_head:,} ({100 * share:.3g} %)"
    )
    console.print(f"MACs       {summary.macs:,} an image")
