"""Export a run: check the file against the run, then write it with its sum and its model card."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nin_exp.errors import ConfigError, nearest
from nin_exp.inference.export.card import model_card
from nin_exp.inference.export.facts import run_facts
from nin_exp.inference.export.formats import SUFFIXES, Exported, Format
from nin_exp.inference.export.sample import sample_images
from nin_exp.inference.files import check_writable
from nin_exp.inference.images import OneImage
from nin_exp.records.files import atomic_write, write_text

if TYPE_CHECKING:
    from nin_exp.inference.run import TrainedRun


@dataclass(frozen=True)
class ExportPaths:
    """What was written, and how far it was from the run; ``agreement`` as in ``Exported``."""

    model: Path
    card: Path
    exported: Exported


def export_run(
    run: TrainedRun, kind: Format, output: str | os.PathLike[str] | None, images: Sequence[OneImage] = ()
) -> ExportPaths:
    """Write ``output``, ``output.sha256`` and the card ``output.md``, each whole or not at all.

    Args:
        run: opened on the CPU.
        output: a file, or a folder for ``JOBID.SUFFIX``; None for the run's own folder ``export``.
        images: to compare on; none for the run's own data.

    Raises:
        ConfigError: the format is unknown, the run is not done, or the network has no such form.
        IntegrityError: the run's weights were not kept, or are damaged.
        RefusedError: the file would not say what the run says.
        StorageError: the files cannot be written.
    """
    if kind not in SUFFIXES:
        raise ConfigError(f"format must be {', '.join(SUFFIXES)}, got '{kind}'.{nearest(kind, SUFFIXES)}")
    path = _target(run, kind, output)
    _ = run.network  # verifies the checkpoint, before anything else is looked at
    check_writable(path)
    exported = _exported(run, kind, images)
    card = model_card(run, path, kind, exported)
    with atomic_write(path) as file:
        file.write(exported.content)
    write_text(path.with_name(f"{path.name}.sha256"), f"{hashlib.sha256(exported.content).hexdigest()}  {path.name}\n")
    card_path = path.with_name(f"{path.name}.md")
    write_text(card_path, card)
    return ExportPaths(path, card_path, exported)


def _target(run: TrainedRun, kind: Format, output: str | os.PathLike[str] | None) -> Path:
    name = f"{run.path.resolve().name}{SUFFIXES[kind]}"
    if output is None:
        return run.path / "export" / name
    path = Path(output).expanduser()
    if path.is_dir() or os.fspath(output).endswith(("/", os.sep)):
        return path / name
    if path.suffix != SUFFIXES[kind]:
        raise ConfigError(
            f"output must end in {SUFFIXES[kind]} for format {kind}, got '{path}'; rename it, or give a folder"
        )
    return path


def _exported(run: TrainedRun, kind: Format, images: Sequence[OneImage]) -> Exported:
    predictor, facts = run.predictor, run_facts(run)
    if kind == "onnx":
        from nin_exp.inference.export.onnx_format import to_onnx

        return to_onnx(predictor, facts, sample_images(run, images))
    if kind == "torch":
        from nin_exp.inference.export.torch_format import to_torch

        return to_torch(predictor, facts, sample_images(run, images))
    from nin_exp.inference.export.weights_format import to_numpy, to_safetensors

    return (to_safetensors if kind == "safetensors" else to_numpy)(run.network, run.input_spec.preprocessing, facts)
