"""From the name of a preprocessing and the training images to what prepares every image; kept with a run, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import ImageSpec, Preprocess, Preprocessing
from nin_exp.data.preprocess.channels import ChannelKind, ChannelNormalization, fit_channels
from nin_exp.data.preprocess.gcn import PAPER_MIN_DIVISOR, PAPER_SCALE, GlobalContrast
from nin_exp.data.preprocess.lcn import PAPER_SIGMA, PAPER_THRESHOLD, PAPER_WINDOW, LocalContrast
from nin_exp.data.preprocess.whitening_file import (
    BROKEN,
    cached_whitening,
    place_whitening,
    read_whitening,
    sha256_of,
)
from nin_exp.data.preprocess.zca import PAPER_BIAS, Whitening
from nin_exp.errors import IntegrityError

WHITENING_FILE = "whitening.npz"


@dataclass(frozen=True, eq=False)
class Fitted:
    """A preprocessing with the file that holds its large part, where it has one."""

    preprocessing: Preprocessing
    cached: Path | None = None


def fit(preprocess: Preprocess, images: npt.NDArray[np.uint8], data_dir: Path, data_key: str) -> Fitted:
    """Fit on the training images alone.

    Args:
        images: uint8 ``(N, H, W, C)``, the training split.
        data_dir: where a whitening is kept for other jobs.
        data_key: what the images are (see ``cached_whitening``).

    Raises:
        ConfigError: the images are too large for ``gcn_zca``.
    """
    contrast = GlobalContrast(PAPER_SCALE, PAPER_MIN_DIVISOR)
    if preprocess == "gcn":
        return Fitted(contrast)
    if preprocess == "gcn_zca":
        return Fitted(*cached_whitening(images, contrast, PAPER_BIAS, data_dir, data_key))
    if preprocess == "lcn":
        return Fitted(LocalContrast(PAPER_WINDOW, PAPER_SIGMA, PAPER_THRESHOLD))
    return Fitted(fit_channels(images, preprocess))


@dataclass(frozen=True, eq=False)
class LazyFit:
    """The arguments of ``fit``, which is called once, when its result is first asked for."""

    preprocess: Preprocess
    images: npt.NDArray[np.uint8]
    data_dir: Path
    data_key: str

    @cached_property
    def result(self) -> Fitted:
        """As ``fit``."""
        return fit(self.preprocess, self.images, self.data_dir, self.data_key)


def save(fitted: Fitted, run_dir: Path) -> dict[str, Any]:
    """Keep a preprocessing with a run; returns what ``read`` needs to know, as JSON.

    Raises:
        StorageError: the run directory cannot be written.
    """
    settings = fitted.preprocessing.settings()
    if isinstance(fitted.preprocessing, Whitening):
        path = run_dir / WHITENING_FILE
        place_whitening(path, fitted.preprocessing, fitted.cached)
        settings |= {"file": WHITENING_FILE, "sha256": sha256_of(path)}
    return settings


def read(settings: Mapping[str, Any], run_dir: Path, spec: ImageSpec) -> Preprocessing:
    """The preprocessing that ``save`` kept.

    Raises:
        IntegrityError: its file is missing or damaged.
        KeyError, TypeError, ValueError: ``settings`` is damaged.
    """
    kind = settings["kind"]
    if kind in get_args(ChannelKind):
        mean, std = (tuple(map(float, settings[name])) for name in ("mean", "std"))
        return ChannelNormalization(kind, mean, std)
    if kind == "lcn":
        return LocalContrast(int(settings["window"]), _positive(settings, "sigma"), _positive(settings, "threshold"))
    contrast = GlobalContrast(_positive(settings, "scale"), float(settings["min_divisor"]))
    if kind == "gcn":
        return contrast
    if kind != "gcn_zca":
        raise ValueError(f"unknown preprocessing {kind!r}")
    path = run_dir / WHITENING_FILE
    try:
        if sha256_of(path) != settings["sha256"]:
            raise ValueError("its checksum is not the recorded one")
        parts = read_whitening(path, spec.channels * spec.height * spec.width)
    except BROKEN as error:
        raise IntegrityError(
            f"{path} must hold the run's whitening, but cannot be read ({error}); train the run again"
        ) from error
    return Whitening(contrast, _positive(settings, "bias"), *parts)


def _positive(settings: Mapping[str, Any], name: str) -> float:
    value = float(settings[name])
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive, got {value}")
    return value
