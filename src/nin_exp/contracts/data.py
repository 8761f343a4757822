"""What a data source is. NumPy only: planning and checking read this without torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from nin_exp.ranges import NonNegativeInt, OpenFraction, PositiveInt, Range  # noqa: F401  (read from the signature)

Preprocess = Literal["standardize", "centered", "signed", "unit", "gcn", "gcn_zca", "lcn"]
PositiveFraction = Annotated[float, Range(gt=0, le=1)]


@dataclass(frozen=True)
class ImageSpec:
    """The shape of one image: ``(channels, height, width)``."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


@dataclass(frozen=True)
class ImageArrays:
    """Images and labels of one split.

    Args:
        images: uint8 ``(N, H, W, C)``.
        labels: int64 ``(N,)``, each in ``0 … num_classes - 1``.
        boxes: int64 ``(N, 4)`` as left, top, right, bottom (right and bottom exclusive), or None.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class LoadedData:
    """A data set in memory: the training images (validation not yet cut) and the test images.

    Args:
        files: what was read, so that a record can tell later whether it has changed; empty when embedded.
        notes: counts worth keeping with a run, such as skipped unreadable files.
    """

    train: ImageArrays
    test: ImageArrays
    class_names: tuple[str, ...]
    files: tuple[Path, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)


class Preprocessing(ABC):
    """How images become what a network sees; each image on its own, so that it can be done once and for all."""

    @abstractmethod
    def apply(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Prepare images.

        Args:
            images: ``(N, H, W, C)``.

        Returns:
            float32 ``(N, H, W, C)``, a new array.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything but large arrays, as JSON; ``kind`` says which preprocessing it is."""


@dataclass(frozen=True, kw_only=True)
class DataSource(ABC):
    """One data set. A concrete source is a frozen dataclass in a file of its own, with one YAML.

    Args:
        source: a local copy to read (npz, torchvision's folder, class folders), or None for the data
            folder, then a download, or the embedded data.
        image_size: resize to this height and width in pixels; None keeps the native size.
        val_fraction: the part of the training images that becomes validation.
        preprocess: ``standardize`` by the training split's mean and deviation of each channel,
            ``centered`` (/255 - 0.5), ``signed`` (/127.5 - 1) or ``unit`` (/255); ``gcn`` global contrast
            normalisation, ``gcn_zca`` with ZCA whitening after it, ``lcn`` local contrast normalisation (see
            ``nin_exp.data.preprocess``).
        train_fraction: use only this part of the training images, in (0, 1] (stratified, after validation is cut).
            A smaller part is a part of every larger one.
        train_limit: as ``train_fraction``, but their number; None for all. With both, the smaller subset.
    """

    source: str | None
    image_size: PositiveInt | None
    val_fraction: OpenFraction
    preprocess: Preprocess
    train_fraction: PositiveFraction
    train_limit: PositiveInt | None

    @abstractmethod
    def load(self, data_dir: Path) -> LoadedData:
        """Read the whole data set at its native size, downloading into ``data_dir`` when needed.

        Raises:
            DataError: a file is missing, unreadable, or holds wrong shapes or labels.
        """
