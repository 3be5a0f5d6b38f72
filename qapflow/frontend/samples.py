"""Calibration samples: real values for the inputs of a model, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.frontend.model import ModelSpec


def read_calibration(path: Path, spec: ModelSpec) -> dict[str, NDArray[np.floating[Any]]]:
    """Read samples [n, *shape] by input name from .npy (one input), .npz or .csv (one a row).

    Raises:
        UsageError: another kind of file, names or numbers that do not fit the model.
    """
    at = str(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        elif path.suffix == ".npy":
            arrays = {"": np.load(path, allow_pickle=False)}
        else:
            arrays = {"": np.loadtxt(path, delimiter=",", ndmin=2)}
    except (OSError, ValueError) as error:
        raise UsageError(f"the calibration samples cannot be read: {error}", at=at) from error
    if set(arrays) - {"", *spec.inputs} and len(arrays) == len(spec.inputs):
        arrays = dict(zip(spec.inputs, arrays.values(), strict=True))
    if "" in arrays:
        if len(spec.inputs) != 1:
            raise UsageError(
                f"the model has {len(spec.inputs)} inputs", at=at, hint="give a .npz by input name"
            )
        arrays = {spec.inputs[0]: arrays[""]}
    return {name: _fit(array, name, spec, at) for name, array in arrays.items()}


def _fit(array: NDArray[Any], name: str, spec: ModelSpec, at: str) -> NDArray[np.floating[Any]]:
    if name not in spec.inputs:
        raise UsageError(
            f"the model has no input {name!r}", at=at, hint=f"its inputs: {', '.join(spec.inputs)}"
        )
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all() or not len(array):
        raise UsageError(f"the samples of {name!r} are no finite numbers", at=at)
    shape = tuple(spec.layer(name).config["batch_input_shape"][1:])
    if array[0].size != int(np.prod(shape)):
        raise UsageError(f"samples of {name!r} have shape {array.shape[1:]}, not {shape}", at=at)
    return array.reshape(len(array), *shape).astype(np.float64)
