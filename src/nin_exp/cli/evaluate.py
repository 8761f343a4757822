"""``nin-exp evaluate``: a trained run on a split, from its directory and a data set."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nin_exp.cli.flags import make_parser
from nin_exp.cli.predict import add_run_flags, open_run
from nin_exp.inference.text import printable

if TYPE_CHECKING:
    from nin_exp.inference.evaluate import Evaluation

_DESCRIPTION = """Evaluate a trained run, class by class: on its validation split, another split, or another data set.

The test split was read once at the end of training; reading it again needs --again, which is kept in the run
directory (evaluations.json). Another data set must have the run's class names."""
_EPILOG = """examples:
  nin-exp evaluate runs/photos/3f2a
  nin-exp evaluate 3f2a --split test --dataset svhn
  nin-exp evaluate 3f2a dataset.source=where/the/data/are/now"""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("evaluate", _DESCRIPTION, _EPILOG)
    add_run_flags(parser)
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="dataset=, dataset.KEY= and data_dir="
    )
    parser.add_argument("--dataset", metavar="NAME", help="another data set with the run's classes (as dataset=NAME)")
    parser.add_argument("--split", default="val", metavar="val|train|test", help="which split (default: val)")
    parser.add_argument("--again", action="store_true", help="read a test split that was read before")
    parser.add_argument("--config-dir", metavar="DIR", help="a folder of your own options, laid out as conf/")
    args = parser.parse(arguments)
    overrides = [*([] if args.dataset is None else [f"dataset={args.dataset}"]), *args.overrides]
    trained = open_run(args)
    result = trained.evaluate(args.split, overrides, again=args.again, config_dir=args.config_dir)
    for note in result.notes:
        print(f"nin-exp: note: {note}", file=sys.stderr)
    if args.json:
        print(json.dumps(_as_json(trained, result), indent=1))
        return 0
    print(f"{trained.path}  {result.split} of {result.dataset}: {result.num_examples:,} examples")
    for name, value in result.metrics.items():
        print(f"{name:<11} {value:.6g}")
    print()
    _print_classes(result)
    return 0


def _print_classes(result: Evaluation) -> None:
    rows = [("class", "examples", "accuracy", "precision", "most often taken for")]
    for score in result.classes:
        confused = "" if score.confused_with is None else f"{score.confused_with} ({score.num_confused})"
        numbers = (str(score.num_examples), _share(score.accuracy), _share(score.precision))
        rows.append((printable(score.name), *numbers, printable(confused)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for name, *middle, confused in rows:
        cells = [cell.rjust(width) for cell, width in zip(middle, widths[1:-1], strict=True)]
        print("  ".join([name.ljust(widths[0]), *cells, confused]).rstrip())


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _as_json(trained: Any, result: Evaluation) -> dict[str, Any]:
    return {
        "run": str(trained.path),
        "split": result.split,
        "dataset": result.dataset,
        "fingerprint": result.fingerprint,
        "weights": trained.weights,
        "num_examples": result.num_examples,
        "metrics": result.metrics,
        "classes": [asdict(score) for score in result.classes],
        "confusion": result.confusion.tolist(),
        "notes": list(result.notes),
    }
