"""Weights by name, with the run's facts beside them: safetensors, and npz for programs with NumPy alone."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from nin_exp.contracts.data import Preprocessing
from nin_exp.contracts.model import Network
from nin_exp.data.preprocess.zca import Whitening
from nin_exp.errors import IntegrityError
from nin_exp.inference.export.formats import Exported

Arrays = dict[str, npt.NDArray[Any]]

HEADER = "__header__"
"""The npz member with the facts: a JSON text, in an array of no dimension."""


def to_safetensors(network: Network, preprocessing: Preprocessing, facts: dict[str, str]) -> Exported:
    """All weights and buffers under their names in the network; the facts are the file's metadata.

    A whitening stands beside them, as ``preprocess.mean`` and ``preprocess.matrix``.
    """
    arrays = _arrays(network, preprocessing)
    content = safetensors.numpy.save(arrays, metadata=facts)
    _check_equal(arrays, safetensors.numpy.load(content))
    return Exported(content, None)


def to_numpy(network: Network, preprocessing: Preprocessing, facts: dict[str, str]) -> Exported:
    """The same as an ``.npz`` of plain arrays, never pickled."""
    arrays = _arrays(network, preprocessing)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **{HEADER: np.array(json.dumps(facts, ensure_ascii=False))}, **arrays)
    with np.load(io.BytesIO(file.getvalue()), allow_pickle=False) as loaded:
        _check_equal(arrays, {name: loaded[name] for name in loaded.files if name != HEADER})
    return Exported(file.getvalue(), None)


def _arrays(network: Network, preprocessing: Preprocessing) -> Arrays:
    state = network.state_dict()
    # Made contiguous by torch: NumPy's own function makes a row of a counter, which has no dimension.
    arrays = {name: value.detach().cpu().contiguous().numpy() for name, value in state.items()}
    if isinstance(preprocessing, Whitening):
        arrays |= {"preprocess.mean": preprocessing.mean, "preprocess.matrix": preprocessing.matrix}
    return arrays


def _check_equal(arrays: Arrays, loaded: Arrays) -> None:
    same = arrays.keys() == loaded.keys() and all(
        array.dtype == loaded[name].dtype and np.array_equal(array, loaded[name]) for name, array in arrays.items()
    )
    if not same:
        raise IntegrityError("the weights must be read back as they were written, and were not; nothing was written")
