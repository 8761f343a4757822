"""The cropped digits of SVHN, MATLAB format 2 (Netzer et al. 2011, http://ufldl.stanford.edu/housenumbers)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.errors import DataError

SIDE = 32


def read_mat(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Images ``(N, 32, 32, 3)`` and labels ``(N,)``; the file's label 10 is the digit 0.

    Raises:
        DataError: the file is damaged or lacks X or y.
    """
    from scipy.io import loadmat  # slow to import, and no other data set needs it

    try:
        content = loadmat(str(path), variable_names=["X", "y"])
    except Exception as error:  # a damaged file makes scipy raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} must be a MATLAB 5 file: {reason}; fetch it again") from error
    for key in ("X", "y"):
        if key not in content:
            raise DataError(f"{path}: variable {key} is missing; fetch it again")
    images, labels = content["X"], content["y"]
    if images.ndim != 4 or images.shape[:3] != (SIDE, SIDE, 3):
        raise DataError(f"{path}: X must be {SIDE}x{SIDE}x3xN, got {'x'.join(map(str, images.shape))}; fetch it again")
    labels = labels.reshape(-1)
    if len(labels) != images.shape[3]:
        raise DataError(
            f"{path}: y must hold one label for each of the {images.shape[3]} images, got {len(labels)}; fetch it again"
        )
    return np.ascontiguousarray(images.transpose(3, 0, 1, 2)), np.where(labels == 10, 0, labels)


def read_mat_shape(path: Path) -> tuple[int, ...]:
    """Shape ``(N, H, W, C)`` of the images, from the header alone.

    Raises:
        DataError: the file is damaged or lacks X.
    """
    from scipy.io import whosmat

    try:
        shapes = {name: shape for name, shape, _ in whosmat(str(path))}
        height, width, channels, count = shapes["X"]
    except Exception as error:  # as above
        raise DataError(f"{path} must be a MATLAB 5 file with X; fetch it again") from error
    return (count, height, width, channels)
