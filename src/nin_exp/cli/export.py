"""``nin-exp export``: a trained run as a file for other programs, with a model card."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from nin_exp.cli.flags import make_parser
from nin_exp.cli.predict import add_run_flags, open_run
from nin_exp.errors import EXIT_DONE

_DESCRIPTION = """Write a trained run as a file that other programs can use.

onnx and torch hold the whole program: uint8 images (N, H, W, C) of the training size in, probabilities and logits
out. Each is run and compared with the run before it is written. safetensors and numpy hold the weights by name.
Beside the file stand its SHA-256 and a model card."""
_EPILOG = """examples:
  nin-exp export 3f2a
  nin-exp export 3f2a --format safetensors --output weights/
  nin-exp predict 3f2a9c0d4e5f.onnx holiday/      (needs no torch)"""


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("export", _DESCRIPTION, _EPILOG)
    add_run_flags(parser, has_device=False)
    parser.add_argument(
        "--format",
        choices=["onnx", "torch", "safetensors", "numpy"],
        default="onnx",
        help="what to write (default: onnx)",
    )
    parser.add_argument(
        "--output", metavar="PATH", help="a file or a folder (default: RUN/export/JOBID with the format's ending)"
    )
    parser.add_argument(
        "--images",
        metavar="PATH",
        nargs="+",
        default=[],
        help="compare on these (default: the run's validation images)",
    )
    args = parser.parse(arguments)
    args.device = "cpu"  # what is compared are the CPU's answers, which every machine has
    trained = open_run(args)
    from nin_exp.inference.export.write import export_run
    from nin_exp.inference.files import image_files

    images = image_files(args.images, sys.stdin.buffer) if args.images else []
    written = export_run(trained, args.format, args.output, images)
    agreement = written.exported.agreement
    if args.json:
        values = {"file": str(written.model), "card": str(written.card), "format": args.format}
        print(json.dumps({**values, "agreement": None if agreement is None else asdict(agreement)}, indent=1))
        return EXIT_DONE
    print(f"{written.model}  {len(written.exported.content):,} bytes")
    print(written.card)
    if agreement is None:
        print("read back: all weights equal")
    else:
        print(f"same class on {agreement.images}, probabilities within {agreement.max_probability_difference:.1e}")
    return EXIT_DONE
