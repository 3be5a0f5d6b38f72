"""Checks of samples as they were read: kinds, shapes, missing values."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.train.samples.sources import Samples


def check_samples(samples: Samples, shape: tuple[int, ...] | None, at: str) -> Samples:
    """Return the samples in the given shape (if any).

    Raises:
        UsageError: no numbers, no samples, NaN or infinity (with row and column), shapes that do
            not fit together or to `shape`.
    """
    sets = [(samples.x, samples.labels, "x"), (samples.x_test, samples.labels_test, "x_test")]
    for x, labels, name in sets:
        if x is None or labels is None:
            continue
        _check_kind(x, name, at)
        if not labels.ndim:
            raise UsageError(f"the labels of {name} are one value", at, "give one for each sample")
        if len(x) != len(labels):
            what = f"{name} holds {len(x)} samples, their labels are {len(labels)}"
            raise UsageError(what, at, "give one label for each sample")
    if samples.x_test is not None and samples.x_test.shape[1:] != samples.x.shape[1:]:
        what = (
            f"test samples have shape {samples.x_test.shape[1:]}, "
            f"training samples {samples.x.shape[1:]}"
        )
        raise UsageError(what, at, "bring both to one shape")
    size = prod(samples.x.shape[1:])
    if samples.features is not None and len(samples.features) != size:
        what = f"features holds {len(samples.features)} names, a sample has {size} values"
        raise UsageError(what, at, "give one name for each value, or leave features out")
    for x, _, name in sets:
        if x is not None:
            _check_values(x, name, samples, at)
    if shape is None:
        return samples
    if prod(shape) != size:
        what = f"data.shape {list(shape)} has {prod(shape)} values, a sample has {size}"
        raise UsageError(what, "data.shape", f"give a shape of {size} values")
    x_test = samples.x_test
    return replace(
        samples,
        x=samples.x.reshape(-1, *shape),
        x_test=None if x_test is None else x_test.reshape(-1, *shape),
    )


def feature_names(samples: Samples) -> tuple[str, ...]:
    """Return the names of the values of a sample, row-major; their places where none are given."""
    if samples.features is not None:
        return samples.features
    shape = samples.x.shape[1:]
    return tuple("x[" + ", ".join(map(str, place)) + "]" for place in np.ndindex(*shape))


def _check_kind(x: NDArray[Any], name: str, at: str) -> None:
    if x.dtype.kind not in "fiub":
        raise UsageError(f"{name} is {x.dtype}, no real numbers", at, "convert it to float32")
    if x.ndim < 2:
        what = f"{name} has shape {x.shape}, a sample has at least one feature"
        raise UsageError(what, at, "give (samples, features): x.reshape(-1, 1) for one")
    if not x.size:
        raise UsageError(f"{name} holds nothing: its shape is {x.shape}", at)


def _check_values(x: NDArray[Any], name: str, samples: Samples, at: str) -> None:
    """Refuse NaN, infinity, and what float32 cannot hold."""
    if x.dtype.kind != "f":
        return
    rows = x.reshape(len(x), -1)
    with np.errstate(over="ignore"):  # what doubles cannot hold becomes infinite: refused below
        wide = rows.astype(np.float64)
    bad = ~(np.abs(wide) <= float(np.finfo(np.float32).max))
    count = int(np.count_nonzero(bad))
    if not count:
        return
    row, column = (int(place) for place in np.argwhere(bad)[0])
    where = feature_names(samples)[column]
    what = (
        f"{name} is {rows[row, column]} in row {row} (from 0), column {where}; "
        f"{count} value{'s' * (count != 1)} in all"
    )
    raise UsageError(what, at, "fill in or remove what is missing, infinite or beyond float32")
