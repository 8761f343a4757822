"""``nin-exp predict``: classes and probabilities of images, from a run directory alone."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_exp.cli.flags import Parser, is_terminal, make_parser
from nin_exp.errors import EXIT_DONE, ConfigError, DataError
from nin_exp.inference.text import encodable, printable

if TYPE_CHECKING:
    from nin_exp.inference.prediction import Prediction, Unreadable

_DESCRIPTION = """Say which class each image is of. RUN may also be a file of `nin-exp export`, such as model.onnx.

Images are prepared as the run prepared its own: any size, mode and common format will do. An image that cannot be
read is named, the others go on, and the exit code is 3."""
_EPILOG = """examples:
  nin-exp predict runs/photos/3f2a seven.png holiday/
  nin-exp predict 3f2a holiday/ --csv classes.csv --save pictures/
  nin-exp predict 3f2a9c0d4e5f.onnx holiday/
  find . -name '*.jpg' | nin-exp predict 3f2a -"""
_DEFAULT_TOP = 3


def add_run_flags(parser: Parser, *, has_device: bool = True) -> None:
    """Which run, with which weights, where."""
    parser.add_argument("run", metavar="RUN", help="a run directory, its checkpoint, a job id or the start of one")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where studies lie")
    parser.add_argument(
        "--weights",
        choices=["selected", "best", "last"],
        default="selected",
        help="selected (those of the run's metrics), or another checkpoint that was kept",
    )
    if has_device:
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--allow-package", action="append", default=[], metavar="PKG", help="trust classes of this package"
    )


def open_run(args: Any) -> Any:
    """The run of the parsed flags, its network loaded."""
    from nin_exp.inference.run import load_run

    trained = load_run(
        args.run,
        weights=args.weights,
        device=args.device,
        runs_dir=args.runs_dir,
        allowed_packages=tuple(args.allow_package),
    )
    _ = trained.network  # verifies the checkpoint, before images and data are looked at
    from nin_exp.reference.memory import keep_freed_memory

    keep_freed_memory()  # activations taken anew from the system for each batch cost a fifth of the time
    return trained


def _open_model(args: Any) -> Any:
    """The run of the parsed flags, or an exported file."""
    if Path(args.run).suffix != ".onnx":
        return open_run(args)
    for flag, given in (("--save", args.save is not None), ("--weights", args.weights != "selected")):
        if given:
            raise ConfigError(f"{flag} needs a run, got the exported file '{args.run}'; give the run directory")
    from nin_exp.inference.exported import load_onnx

    return load_onnx(args.run, device=args.device)


def positive(name: str, value: int) -> int:
    """The value of a flag that counts something."""
    if value < 1:
        raise ConfigError(f"{name} must be at least 1, got {value}")
    return value


def run(arguments: Sequence[str]) -> int:
    """Run the verb; exits with 3 when an image could not be read."""
    parser = make_parser("predict", _DESCRIPTION, _EPILOG)
    add_run_flags(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE|FOLDER|-", help="- reads names, or one image, from stdin")
    parser.add_argument("--top", type=int, default=_DEFAULT_TOP, metavar="K", help="classes to show (default: 3)")
    parser.add_argument("--csv", metavar="FILE", help="write every class's probability as CSV (- for stdout)")
    parser.add_argument("--save", metavar="DIR", help="save each picture with the map of its class laid over it")
    args = parser.parse(arguments)
    top = positive("--top", args.top)
    trained = _open_model(args)
    from nin_exp.inference.files import check_writable
    from nin_exp.inference.prediction import Unreadable

    if args.csv not in (None, "-"):
        check_writable(Path(args.csv).expanduser())
    if args.save is not None:
        check_writable(Path(args.save).expanduser() / "picture.png")
    images = named_images(args.images)
    results = []
    for result in with_progress(trained.predict_each(images), len(images)):
        results.append(result)
        if isinstance(result, Unreadable):
            report_unreadable(result)
    if args.csv is not None:
        _write_csv(args.csv, results, trained.class_names)
    if args.save is not None:
        _save(trained, images, results, Path(args.save).expanduser())
    if args.json:
        print(json.dumps([as_json(result, top) for result in results], indent=1))
    elif args.csv != "-":
        _print_table(results, min(top, len(trained.class_names)))
    return exit_code(results)


def named_images(names: Sequence[str]) -> list[Any]:
    """The images of the arguments; says so where folders hold other files."""
    from nin_exp.inference.files import image_files, left_out

    images = image_files(names, sys.stdin.buffer)
    if note := left_out(names):
        print(f"nin-exp: note: {printable(note)}", file=sys.stderr)
    return images


def report_unreadable(result: Unreadable) -> None:
    """Name an image that could not be read, while the others go on."""
    print(f"nin-exp: {printable(f'{result.name}: {result.reason}')}", file=sys.stderr)


def exit_code(results: Sequence[Any]) -> int:
    """0, or 3 with a closing line when some images could not be read."""
    from nin_exp.inference.prediction import Unreadable

    broken = sum(isinstance(result, Unreadable) for result in results)
    if not broken:
        return EXIT_DONE
    print(f"nin-exp: error: {broken} of {len(results)} images could not be read", file=sys.stderr)
    return DataError.exit_code


def with_progress(results: Iterator[Any], total: int) -> Iterator[Any]:
    """Pass results on, with a bar on a terminal when there are many."""
    if not is_terminal() or total < 100:
        yield from results
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(results, description="images", total=total, console=Console(stderr=True), transient=True)


def as_json(result: Prediction | Unreadable, top: int) -> dict[str, Any]:
    """One entry of ``--json``."""
    from nin_exp.inference.prediction import Unreadable

    if isinstance(result, Unreadable):
        return {"image": result.name, "error": result.reason}
    return {
        "image": result.name,
        "class": result.class_name,
        "probability": result.probability,
        "top": [{"class": name, "probability": p} for name, p in result.top(top)],
    }


def _print_table(results: Sequence[Prediction | Unreadable], top: int) -> None:
    from nin_exp.inference.prediction import Unreadable

    rows = []
    for result in results:
        if isinstance(result, Unreadable):
            cells = [result.name, "cannot be read"]
        else:
            cells = [result.name, *(f"{name} {p:.3f}" for name, p in result.top(top))]
        rows.append([printable(cell) for cell in cells])
    header = ["image", *([f"{place}." for place in range(1, top + 1)] if top > 1 else ["class"])]
    widths = [max(len(row[i]) for row in [header, *rows] if i < len(row)) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())


def _write_csv(target: str, results: Sequence[Prediction | Unreadable], class_names: Sequence[str]) -> None:
    from nin_exp.inference.prediction import Unreadable
    from nin_exp.records.files import write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "class", "probability", "error", *(f"p/{name}" for name in class_names)])
    for result in results:
        if isinstance(result, Unreadable):
            row = ["", "", encodable(result.reason), *("" for _ in class_names)]
        else:
            row = [result.class_name, repr(result.probability), "", *map(repr, result.probabilities.tolist())]
        writer.writerow([encodable(result.name), *row])
    if target == "-":
        print(text.getvalue(), end="")
    else:
        write_text(Path(target).expanduser(), text.getvalue())


def _save(trained: Any, images: Sequence[Any], results: Sequence[Prediction | Unreadable], folder: Path) -> None:
    from nin_exp.inference.prediction import Unreadable
    from nin_exp.inference.save import save_pictures

    good = [image for image, result in zip(images, results, strict=True) if not isinstance(result, Unreadable)]
    written = save_pictures(folder, with_progress(trained.explain_each(good), len(good)))
    print(f"nin-exp: {written} pictures in {folder}", file=sys.stderr)
