"""Use an exported ONNX file: onnxruntime, NumPy and Pillow; torch is not imported."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import ImageSpec
from nin_exp.errors import ConfigError, DataError, IntegrityError
from nin_exp.inference.images import ImageInput, Levels
from nin_exp.inference.prediction import Prediction, Unreadable
from nin_exp.inference.stream import PredictionStream

SCHEMA_KEY, SCHEMA_VERSION = "nin_exp_schema", 1
CHECK_KEY = "nin_exp_check"
_BATCH_SIZE = 64


def load_onnx(path: str | os.PathLike[str], *, device: str = "auto") -> OnnxModel:
    """Open a file that ``nin-exp export --format onnx`` wrote.

    Args:
        device: ``auto`` (the GPU where onnxruntime has one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: there is no such file, it is not one of ours, or the device is not there.
        IntegrityError: it is damaged, or was made by a newer version.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        near = difflib.get_close_matches(file.name, [p.name for p in file.parent.glob("*.onnx")], n=3, cutoff=0.4)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        raise ConfigError(f"{file} must be an exported model, but is not there; see `nin-exp export`.{hint}")
    content = file.read_bytes()
    _check_sum(file, content)
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("an .onnx file needs onnxruntime: pip install onnxruntime") from error
    providers = _providers(onnxruntime.get_available_providers(), device)
    try:
        session = quiet_session(onnxruntime, content, providers)
    except Exception as error:  # of a kind for each thing that can be wrong with a file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise IntegrityError(f"{file} must be an ONNX model, but cannot be read ({reason}); export it again") from error
    return OnnxModel(file, session, session.get_modelmeta().custom_metadata_map)


def quiet_session(onnxruntime: Any, content: bytes, providers: list[Any]) -> Any:
    """A session that logs errors alone: onnxruntime warns of each optimisation it leaves out."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=providers)


def _check_sum(file: Path, content: bytes) -> None:
    """Compare with the ``.sha256`` beside the file; a file that was copied without it is taken as it is."""
    sums = file.with_name(f"{file.name}.sha256")
    if sums.is_file() and hashlib.sha256(content).hexdigest() not in sums.read_text(encoding="utf-8", errors="replace"):
        raise IntegrityError(f"{file} does not match its checksum: it is damaged; export the run again")


def _providers(available: list[str], device: str) -> list[Any]:
    kind, _, number = device.partition(":")
    has_cuda = "CUDAExecutionProvider" in available
    if kind not in ("auto", "cpu", "cuda") or (number and not number.isdigit()) or (kind == "cuda" and not has_cuda):
        known = "auto, cpu or cuda" if has_cuda else "auto or cpu (this onnxruntime has no GPU support)"
        raise ConfigError(f"device must be {known} for an .onnx file, got '{device}'")
    if kind == "cpu" or not has_cuda:
        return ["CPUExecutionProvider"]
    return [("CUDAExecutionProvider", {"device_id": int(number or 0)}), "CPUExecutionProvider"]


class OnnxModel:
    """An exported network with its classes. Made by ``load_onnx``.

    Args:
        metadata: what ``nin-exp export`` wrote: text by key, some of it JSON.
    """

    def __init__(self, path: Path, session: Any, metadata: dict[str, str]) -> None:
        self.path = path
        self.metadata = metadata
        self._session = session
        version = metadata.get(SCHEMA_KEY, "")
        if not version.isdigit():
            raise ConfigError(f"{path} must be written by `nin-exp export`, got another ONNX file; export a run")
        if int(version) > SCHEMA_VERSION:
            raise IntegrityError(f"{path} must have schema version <= {SCHEMA_VERSION}, got {version}; update nin-exp")
        try:
            self.class_names: tuple[str, ...] = tuple(map(str, json.loads(metadata["class_names"])))
            self.image_spec = ImageSpec(*map(int, json.loads(metadata["input"])["image_spec"]))
            self.metrics: dict[str, float] = json.loads(metadata["metrics"])
            self.agreement: dict[str, Any] = json.loads(metadata[CHECK_KEY])
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path} must name its classes and input, but does not; export it again") from error

    def __repr__(self) -> str:
        names = (self.metadata.get(key, "") for key in ("dataset", "backbone", "head"))
        return f"OnnxModel('{self.path}': {' '.join(names)})"

    def logits(self, levels: Levels) -> npt.NDArray[np.float32]:
        """float32 ``(N, K)`` for uint8 ``(N, H, W, C)`` of the network's size."""
        (logits,) = self._session.run(["logits"], {"images": np.ascontiguousarray(levels)})
        result: npt.NDArray[np.float32] = logits
        return result

    def predict(self, images: ImageInput) -> list[Prediction]:
        """Classes and probabilities, one entry an image; images as for a run's ``predict``.

        Raises:
            DataError: an image cannot be read; ``predict_each`` goes on with the others.
        """
        results = []
        for result in self.predict_each(images):
            if isinstance(result, Unreadable):
                raise DataError(f"{result.name}: {result.reason}")
            results.append(result)
        return results

    def predict_each(self, images: ImageInput) -> Iterator[Prediction | Unreadable]:
        """As ``predict``, one after the other; images that cannot be read give an ``Unreadable`` in their place."""
        stream = PredictionStream(self.image_spec, self.class_names, _BATCH_SIZE, self.logits)
        return stream.predict_each(images)
