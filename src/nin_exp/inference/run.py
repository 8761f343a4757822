"""A trained run, from its directory alone. torch is imported by what needs it, Lightning and the data by nothing."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nin_exp.compose.check import TRUSTED
from nin_exp.config import ExperimentConfig
from nin_exp.errors import ConfigError, DataError, IntegrityError, nearest
from nin_exp.inference.input_spec import InputSpec
from nin_exp.inference.weights import CHECKPOINTS, Weights, load_network, pick_device, read_config
from nin_exp.records.index import find_run
from nin_exp.records.record import Record

if TYPE_CHECKING:
    import pandas

    from nin_exp.contracts.model import Network
    from nin_exp.inference.evaluate import Evaluation, Split
    from nin_exp.inference.explain import Explanation
    from nin_exp.inference.export.formats import Format
    from nin_exp.inference.images import ImageInput
    from nin_exp.inference.predict import Predictor
    from nin_exp.inference.prediction import Prediction, Unreadable
    from nin_exp.inference.save import PictureFormat

Result = TypeVar("Result")
SPLITS = ("val", "train", "test")

# Activations of more images leave the processor's caches; GPUs are given the run's own size.
_CPU_BATCH_SIZE = 64


def load_run(
    path: str | os.PathLike[str],
    *,
    weights: Weights = "selected",
    device: str = "auto",
    runs_dir: str | os.PathLike[str] = "runs",
    allowed_packages: tuple[str, ...] = (),
) -> TrainedRun:
    """Open a finished run.

    >>> run = load_run("runs/train-digits/40a1e18664c8")  # doctest: +SKIP
    >>> run.predict("seven.png")[0].class_name  # doctest: +SKIP
    '7'

    Args:
        path: a run directory, one of its checkpoints, a job id or the start of one.
        weights: ``selected`` are those the run's metrics are of; ``best`` and ``last`` are kept by ``checkpoint.keep``.
        device: ``auto`` (the GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        runs_dir: where job ids are looked for.
        allowed_packages: packages of your own whose classes the run may name.

    Raises:
        ConfigError: there is no such run (the nearest are named), or it has not finished.
        IntegrityError: its files are damaged, or were made by a newer version.
        RefusedError: it names classes of a package that is not allowed.
    """
    if weights not in ("selected", "best", "last"):
        raise ConfigError(f"weights must be selected, best or last, got '{weights}'")
    given = Path(path).expanduser()
    if given.suffix == ".onnx" and given.is_file():
        raise ConfigError(f"{given} is an exported model; open it with nin_exp.load_onnx, or give its run")
    if given.suffix == ".ckpt" and given.parent.name == "checkpoints":
        if not given.is_file():
            raise ConfigError(f"{given} is not there; give a run directory")
        named = next((name for name, file in CHECKPOINTS.items() if file.name == given.name), None)
        if named is None:
            raise ConfigError(f"{given} must be best.ckpt or last.ckpt of a run; give a run directory")
        weights = "best" if named == "best" else "last"
        given = given.parent.parent
    run_dir = find_run(str(given), Path(runs_dir).expanduser())
    try:
        record = Record.read(run_dir)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{run_dir} has not finished: it has no record yet; run its command again to go on"
        ) from error
    config = read_config(run_dir, (*TRUSTED, *allowed_packages))
    return TrainedRun(run_dir, record, config, weights=weights, device=device, allowed_packages=allowed_packages)


class TrainedRun:
    """A finished run; the network is loaded when something first needs it. Made by ``load_run``."""

    def __init__(
        self,
        path: Path,
        record: Record,
        config: ExperimentConfig,
        *,
        weights: Weights,
        device: str,
        allowed_packages: tuple[str, ...],
    ) -> None:
        self.path = path
        self.record = record
        self.config = config
        self.weights: Weights = weights
        self._device = device
        self.allowed_packages = (*TRUSTED, *allowed_packages)

    def __repr__(self) -> str:
        record = self.record
        return f"TrainedRun('{self.path}': {record.dataset} {record.backbone} {record.head}, {record.status})"

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the selected weights, named ``split/name``; accuracies are fractions."""
        return dict(self.record.metrics)

    @cached_property
    def history(self) -> pandas.DataFrame:
        """A row an epoch, with the epoch as its index, as ``metrics.csv`` holds them; empty for a run of no epoch.

        Raises:
            IntegrityError: the file cannot be read.
        """
        import pandas

        path = self.path / "metrics.csv"
        if self.record.epochs == 0:
            columns = ["epoch", "train/loss", "train/acc", "val/loss", "val/acc", "lr"]
            return pandas.DataFrame(columns=columns, dtype=float).astype({"epoch": int}).set_index("epoch")
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
            epochs = pandas.Index([int(row.pop("epoch")) for row in rows], name="epoch")
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise IntegrityError(
                f"{path} must be a table of numbers, but cannot be read; train the run again"
            ) from error
        if not rows:
            raise IntegrityError(f"{path} must be a table of numbers, but is empty; train the run again")
        return pandas.DataFrame(rows, index=epochs)

    @cached_property
    def input_spec(self) -> InputSpec:
        """Size, normalisation and classes of the network's input."""
        return InputSpec.read(self.path)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return self.input_spec.class_names

    @cached_property
    def device(self) -> Any:
        """The ``torch.device`` of the network."""
        return pick_device(self._device)

    @cached_property
    def network(self) -> Network:
        """The trained network, in evaluation mode, on ``device``: normalised images ``(B, C, H, W)`` to logits.

        Raises:
            IntegrityError: the checkpoint was not kept, is damaged, or does not fit.
        """
        return load_network(
            self.path,
            self.config,
            self.record,
            self.input_spec,
            weights=self.weights,
            device=str(self.device),
            allowed_packages=self.allowed_packages,
        )

    @property
    def model(self) -> Network:
        """The same as ``network``."""
        return self.network

    @cached_property
    def predictor(self) -> Predictor:
        """The network with what its inputs need."""
        import torch

        from nin_exp.inference.predict import Predictor

        trainer, network = self.config.trainer, self.network
        on_cpu = self.device.type == "cpu"
        autocast = {"bf16-mixed": torch.bfloat16, "16-mixed": None if on_cpu else torch.float16}
        return Predictor(
            network=network,
            forward=self._forward if on_cpu else network,
            spec=self.input_spec,
            device=self.device,
            batch_size=min(trainer.eval_batch_size, _CPU_BATCH_SIZE) if on_cpu else trainer.eval_batch_size,
            autocast_dtype=autocast.get(trainer.precision),
            channels_last=trainer.channels_last,
        )

    @property
    def _forward(self) -> Network:
        """What makes the logits on a CPU: the engine that trained the network."""
        if self.config.engine == "torch":
            return self.network
        from nin_exp.numpy_engine.network import NumpyNetwork

        return NumpyNetwork(self.network, seed=0)

    def predict(self, images: ImageInput) -> list[Prediction]:
        """Classes and probabilities, one entry an image.

        Args:
            images: paths (of folders as well), Pillow images, uint8 (0 … 255) or float (0 … 1) arrays
                ``(H, W[, C])`` and tensors ``(C, H, W)``, of any size and mode; one, a batch, or an iterable of them.

        Raises:
            DataError: an image cannot be read; ``predict_each`` goes on with the others.
        """
        return [_readable(result) for result in self.predict_each(images)]

    def predict_each(self, images: ImageInput) -> Iterator[Prediction | Unreadable]:
        """As ``predict``, one after the other; images that cannot be read give an ``Unreadable`` in their place."""
        return self.predictor.predict_each(images)

    def evaluate(
        self,
        split: Split = "val",
        overrides: Sequence[str] = (),
        *,
        again: bool = False,
        config_dir: str | None = None,
    ) -> Evaluation:
        """Metrics and a score a class, on every example of a split.

        Args:
            split: ``val``, ``train`` or ``test``.
            overrides: of data alone: ``dataset=NAME`` (the same class names), ``dataset.KEY=VALUE``, ``data_dir=PATH``.
            again: read a test split that was read before; each reading is kept in ``evaluations.json``.
            config_dir: a folder with data sets of your own, laid out as ``conf/``.

        Raises:
            ConfigError: an override or the split is wrong.
            IntegrityError: the run's weights were not kept, or are damaged; seen before any data are read.
            RefusedError: the test split was read before.
            DataError: the data cannot be read, or hold other classes.
        """
        from nin_exp.compose.composer import Composer
        from nin_exp.compose.groups import resolve_config_dirs
        from nin_exp.inference.other_data import choose_data

        if split not in SPLITS:
            raise ConfigError(f"split must be val, train or test, got '{split}'.{nearest(split, SPLITS)}")
        _ = self.network  # verifies the checkpoint, before anything else is looked at
        composer = Composer(resolve_config_dirs(config_dir), self.allowed_packages)
        choice = choose_data(self.config, self.input_spec.image_spec, overrides, composer)
        from nin_exp.inference.evaluate import evaluate

        return evaluate(self, choice, split, again=again)

    def explain(self, images: ImageInput, class_name: str | None = None) -> list[Explanation]:
        """Class maps, CAM, Grad-CAM and boxes, one entry an image.

        Args:
            images: as for ``predict``.
            class_name: explain this class in each image; None for the predicted one.

        Raises:
            ConfigError: the class is unknown.
            DataError: an image cannot be read; ``explain_each`` goes on with the others.
        """
        return [_readable(result) for result in self.explain_each(images, class_name)]

    def save_explanations(
        self,
        folder: str | os.PathLike[str],
        explanations: Sequence[Explanation],
        formats: Sequence[PictureFormat] = ("png",),
    ) -> list[Path]:
        """Write what ``nin-exp explain`` writes: a picture an image, the sheet of class maps, the filters.

        Args:
            explanations: of ``explain``.
            formats: ``png``, ``svg`` or both.

        Raises:
            StorageError: the folder cannot be written.
        """
        from nin_exp.inference.save import save_explanations

        return save_explanations(Path(folder).expanduser(), self, explanations, formats)

    def explain_each(self, images: ImageInput, class_name: str | None = None) -> Iterator[Explanation | Unreadable]:
        """As ``explain``, one after the other; images that cannot be read give an ``Unreadable`` in their place."""
        from nin_exp.inference.explain import explain_each

        return explain_each(self.predictor, images, class_name)

    def export(
        self,
        format: Format = "onnx",
        output: str | os.PathLike[str] | None = None,
    ) -> Path:
        """Write the network for use elsewhere, with a model card beside it; returns the file.

        Args:
            format: ``onnx`` or ``torch`` (programs that prepare their images), ``safetensors`` or ``numpy`` (weights).
            output: a file or a folder; None for ``export`` in the run's folder.

        Raises:
            ConfigError: the format is unknown, or the network has no such form.
            IntegrityError: the run's weights were not kept, or are damaged.
            RefusedError: the file would not say what the run says.
            StorageError: the files cannot be written.
        """
        from nin_exp.inference.export.write import export_run

        return export_run(self, format, output).model


def _readable(result: Result | Unreadable) -> Result:
    from nin_exp.inference.prediction import Unreadable

    if isinstance(result, Unreadable):
        raise DataError(f"{result.name}: {result.reason}")
    return result
