"""``nin-exp explain``: where a trained run looks, as pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_exp.cli.flags import Parser, make_parser
from nin_exp.cli.predict import (
    add_run_flags,
    exit_code,
    named_images,
    open_run,
    positive,
    report_unreadable,
    with_progress,
)
from nin_exp.errors import ConfigError
from nin_exp.inference.text import printable

if TYPE_CHECKING:
    from nin_exp.inference.explain import Explanation
    from nin_exp.inference.prediction import Unreadable
    from nin_exp.inference.save import PictureFormat

_DESCRIPTION = """Show where a run sees a class.

DIR receives one picture an image (CAM where a global pool makes the logits, Grad-CAM for every head, each with the
box around what lies above 20 % of the maximum), class_maps.png (the last maps, one a class, as figure 4 of
arXiv 1312.4400) and filters.png (the first layer)."""
_EPILOG = """examples:
  nin-exp explain runs/photos/3f2a seven.png holiday/ --out pictures/
  nin-exp explain 3f2a cat.png --class dog --out pictures/"""
_DEFAULT_LIMIT = 100
_FORMATS: dict[str, tuple[PictureFormat, ...]] = {"png": ("png",), "svg": ("svg",), "both": ("png", "svg")}


def run(arguments: Sequence[str]) -> int:
    """Run the verb; exits with 3 when an image could not be read."""
    args = _parser().parse(arguments)
    limit = positive("--limit", args.limit)
    trained = open_run(args)
    from nin_exp.inference.explain import what_is_missing
    from nin_exp.inference.files import check_writable
    from nin_exp.inference.prediction import Unreadable
    from nin_exp.inference.save import save_explanations

    folder = Path(args.out).expanduser()
    check_writable(folder / "picture.png")
    images = named_images(args.images)
    if len(images) > limit:
        raise ConfigError(f"explain takes at most --limit={limit} images, got {len(images)}; name fewer or raise it")
    results = []
    for result in with_progress(trained.explain_each(images, args.class_name), len(images)):
        results.append(result)
        if isinstance(result, Unreadable):
            report_unreadable(result)
    good = [result for result in results if not isinstance(result, Unreadable)]
    formats = _FORMATS[args.format]
    written = save_explanations(folder, trained, good, formats) if good else []
    for note in what_is_missing(trained.predictor, good[0], trained.record.head) if good else ():
        print(f"nin-exp: note: {note}", file=sys.stderr)
    if args.json:
        print(json.dumps([_as_json(result) for result in results], indent=1))
    else:
        _print_table(good)
        for path in written:
            print(path)
    return exit_code(results)


def _parser() -> Parser:
    parser = make_parser("explain", _DESCRIPTION, _EPILOG)
    add_run_flags(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE|FOLDER|-", help="- reads names, or one image, from stdin")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the pictures go")
    parser.add_argument(
        "--class", dest="class_name", metavar="NAME", help="explain this class (default: the predicted)"
    )
    parser.add_argument(
        "--limit", type=int, default=_DEFAULT_LIMIT, metavar="N", help="at most so many images (default: 100)"
    )
    parser.add_argument("--format", choices=list(_FORMATS), default="png", help="of the pictures (default: png)")
    return parser


def _as_json(result: Explanation | Unreadable) -> dict[str, Any]:
    from nin_exp.inference.prediction import Unreadable

    if isinstance(result, Unreadable):
        return {"image": result.name, "error": result.reason}
    return {
        "image": result.name,
        "class": result.class_name,
        "probability": result.probability,
        "predicted": result.prediction.class_name,
        "boxes": {kind: result.box(kind) for kind in result.kinds},
    }


def _print_table(results: Sequence[Explanation]) -> None:
    for result in results:
        box = result.box()
        place = "no evidence" if box is None else "box {},{} … {},{}".format(*box)
        shown = f"{result.name}  {result.class_name} {result.probability:.3f}  {place} ({result.kinds[0]})"
        print(printable(shown))
