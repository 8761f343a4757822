"""Global contrast normalisation, then ZCA whitening fitted on the training split.

As pylearn2's ``ZCA(filter_bias=0.1)`` on images with ``gcn=55``, the data of Maxout (Goodfellow et al. 2013, arXiv
1302.4389, section 5.2) and Network in Network for CIFAR. Whitening: Krizhevsky 2009, Learning Multiple Layers of
Features from Tiny Images, appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nin_exp.contracts.data import Preprocessing
from nin_exp.data.preprocess.gcn import GlobalContrast, chunks
from nin_exp.errors import ConfigError

PAPER_BIAS = 0.1
# The covariance of 64x64x3 values takes 1.2 GB, and its eigenvectors some minutes.
MAX_VALUES = 64 * 64 * 3


@dataclass(frozen=True, eq=False)
class Whitening(Preprocessing):
    """``(gcn(image) - mean) @ matrix``, the values of an image in the order height, width, channel.

    Args:
        contrast: what is done first.
        bias: was added to each variance.
        mean: float32 ``(D,)`` of the normalised training images, D = H * W * C.
        matrix: float32 ``(D, D)``, symmetric: the inverse root of the covariance with its bias.
    """

    contrast: GlobalContrast
    bias: float
    mean: npt.NDArray[np.float32]
    matrix: npt.NDArray[np.float32]

    def apply(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See ``Preprocessing``."""
        prepared = np.empty(images.shape, dtype=np.float32)
        flat = prepared.reshape(len(images), -1)
        for rows in chunks(images.shape):
            # The mean is subtracted in double precision: single precision is spent where it is cheap, in the product.
            centred = self.contrast.in_double_precision(images[rows]) - self.mean
            np.matmul(centred.astype(np.float32), self.matrix, out=flat[rows])
        return prepared

    def settings(self) -> dict[str, Any]:
        """See ``Preprocessing``."""
        return {**self.contrast.settings(), "kind": "gcn_zca", "bias": self.bias}


def fit_whitening(images: npt.NDArray[np.uint8], contrast: GlobalContrast, bias: float) -> Whitening:
    """Fit on the training images, in double precision throughout.

    Args:
        images: uint8 ``(N, H, W, C)``.
        bias: is added to each variance, so that directions without any are not blown up; positive.

    Raises:
        ConfigError: the images are too large for a matrix of all pairs of their values.
    """
    size = int(np.prod(images.shape[1:]))
    if size > MAX_VALUES:
        shape = "x".join(map(str, images.shape[1:]))
        raise ConfigError(
            f"dataset.preprocess=gcn_zca needs images of at most {MAX_VALUES} values, got {shape}; "
            "lower dataset.image_size or use preprocess=gcn"
        )
    parts = list(chunks(images.shape))
    mean = np.zeros(size)
    for rows in parts:
        mean += contrast.in_double_precision(images[rows]).sum(axis=0)
    mean /= len(images)
    covariance = np.zeros((size, size))
    for rows in parts:
        centred = contrast.in_double_precision(images[rows]) - mean
        covariance += centred.T @ centred
    covariance /= len(images)
    covariance[np.diag_indices(size)] += bias
    variances, directions = np.linalg.eigh(covariance)
    matrix = (directions / np.sqrt(variances)) @ directions.T
    return Whitening(contrast, bias, mean.astype(np.float32), matrix.astype(np.float32))
