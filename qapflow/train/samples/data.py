"""Samples ready for training: read, checked, split, scaled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.train.recipes.recipe import ConvRecipe, DataRecipe, ModelRecipe, PoolRecipe
from qapflow.train.samples.check import check_samples, feature_names
from qapflow.train.samples.labels import Labels, number_labels
from qapflow.train.samples.scaling import Scaling, fit_scaling, scale
from qapflow.train.samples.sources import Samples, read_samples
from qapflow.train.samples.splits import noisy, split_test, split_validation

Real = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Data:
    """Three sets of samples, float32 [n, *shape], with class numbers, int64 [n].

    `digest` is the SHA-256 of what was read, before noise, split and scaling.
    """

    x_train: Real
    y_train: Labels
    x_validation: Real
    y_validation: Labels
    x_test: Real
    y_test: Labels
    classes: tuple[str, ...]
    features: tuple[str, ...]
    scaling: Scaling
    digest: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.x_train.shape[1:]


def load_data(recipe: DataRecipe, seed: int = 0, fold: int = 0) -> Data:
    """Read, check, split and scale the samples of a recipe.

    Test samples are those of the source, or `test_fraction` of it, the same for every seed and
    fold, so that models can be compared. With one fold, `seed` draws the validation samples; with
    more, fold `fold` of a partition that is the same for every seed. `seed` also draws the labels
    that `label_noise` replaces. Scaling is fitted on the training samples alone.

    Raises:
        UsageError: the source, its values, labels or shapes are wrong; names the place.
        ToolMissing: a package that reads the source is not installed.
    """
    if not 0 <= fold < recipe.folds:
        what = f"there is no fold {fold}: data.folds is {recipe.folds}, folds count from 0"
        raise UsageError(what, "data.folds", f"give 0 to {recipe.folds - 1}")
    at = recipe.source
    samples = check_samples(read_samples(recipe), recipe.shape, at)
    y, y_test, classes = number_labels(samples.labels, samples.labels_test, samples.classes, at)
    digest = _digest(samples, y, y_test, classes)
    x, x_test = samples.x, samples.x_test
    if x_test is None or y_test is None:
        rest, test = split_test(y, recipe.test_fraction, at)
        x, y, x_test, y_test = x[rest], y[rest], x[test], y[test]
    train, validation = split_validation(y, recipe, seed, fold, at)
    labels = noisy(y, recipe.label_noise, len(classes), seed)
    scaling = fit_scaling(x[train], recipe.standardize)
    return Data(
        x_train=scale(x[train], scaling),
        y_train=labels[train],
        x_validation=scale(x[validation], scaling),
        y_validation=labels[validation],
        x_test=scale(x_test, scaling),
        y_test=y_test,
        classes=classes,
        features=feature_names(samples),
        scaling=scaling,
        digest=digest,
    )


def fit_shape(data: Data, model: ModelRecipe) -> Data:
    """Give samples the shape that the first layer of an architecture takes.

    One row of values for dense layers; images without channels get one channel for convolutions
    over images, rows one for convolutions over rows. Data for a model file stays as it is.

    Raises:
        UsageError: samples that have no such shape, or an output layer for other classes.
    """
    _check_output(model, len(data.classes))
    if model.file is not None or not model.layers:
        return data
    shape = _wanted_shape(data.shape, model)
    return replace(
        data,
        x_train=data.x_train.reshape(-1, *shape),
        x_validation=data.x_validation.reshape(-1, *shape),
        x_test=data.x_test.reshape(-1, *shape),
    )


def _wanted_shape(shape: tuple[int, ...], model: ModelRecipe) -> tuple[int, ...]:
    first = model.layers[0]
    if not isinstance(first, ConvRecipe | PoolRecipe):
        return (prod(shape),) if first.kind == "dense" else shape
    rank = 2 if "1d" in first.kind else 3
    if len(shape) == rank:
        return shape
    if len(shape) == rank - 1:
        return (*shape, 1)
    words = "(length, channels)" if rank == 2 else "(rows, columns, channels)"
    what = f"{first.kind} takes samples of shape {words}, these have {shape}"
    raise UsageError(what, "model.layers[0]", "give data.shape, such as [28, 28, 1]")


def _check_output(model: ModelRecipe, classes: int) -> None:
    if model.file is not None:
        return
    if model.output == "sigmoid" and classes > 2:
        what = f"sigmoid tells two classes apart, there are {classes}"
        raise UsageError(what, "model.output", "use logits or softmax")
    if model.output == "softmax" and classes == 2:
        what = "two classes have one output, whose softmax is always 1"
        raise UsageError(what, "model.output", "use logits or sigmoid")


def _digest(samples: Samples, y: Labels, y_test: Labels | None, classes: tuple[str, ...]) -> str:
    """Return the SHA-256 of samples, labels and names, whatever file they came from."""
    total = hashlib.sha256(repr((classes, samples.features)).encode())
    for array, kind in ((samples.x, "<f8"), (y, "<i8"), (samples.x_test, "<f8"), (y_test, "<i8")):
        total.update(repr(None if array is None else array.shape).encode())
        for row in range(0, 0 if array is None else len(array), 4096):
            part: NDArray[Any] = np.asarray(array)[row : row + 4096]
            total.update(np.ascontiguousarray(part, kind).tobytes())
    return total.hexdigest()
