"""How far two computations of real outputs are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.report.figures import Accuracy

Array = NDArray[Any]


def measure_accuracy(
    net_values: Sequence[Array], keras_values: Sequence[Array], labels: Array | None = None
) -> Accuracy:
    """Return how far two lists of outputs [n, *shape] are apart; the first output is classified.

    A class is the largest of several outputs; a single one is cut at 0, a probability at 0.5.
    `labels` are class numbers [n] or one-hot [n, classes]; negative ones are unknown and do not
    count.

    Raises:
        UsageError: there are not as many labels as classified samples.
    """
    errors = [np.abs(a - b) for a, b in zip(net_values, keras_values, strict=True)]
    first = keras_values[0]
    probability = first.size > 0 and first.min() >= 0 and first.max() <= 1
    limit = 0.5 if probability else 0.0
    ours, theirs = (_classes(values[0], limit) for values in (net_values, keras_values))
    truth = np.full(ours.shape, -1) if labels is None else _labels(labels)
    if truth.shape != ours.shape:
        raise UsageError(f"labels of shape {truth.shape} do not fit classes of shape {ours.shape}")
    known = truth >= 0
    return Accuracy(
        samples=len(net_values[0]),
        max_abs_error=max(float(error.max(initial=0.0)) for error in errors),
        argmax_agreement=float(np.mean(ours == theirs)) if ours.size else None,
        accuracy_net=float(np.mean((ours == truth)[known])) if known.any() else None,
        accuracy_keras=float(np.mean((theirs == truth)[known])) if known.any() else None,
    )


def _classes(values: Array, limit: float) -> Array:
    if values.shape[-1] > 1 and values.ndim > 1:
        return np.asarray(np.argmax(values, axis=-1))
    flat = values.reshape(len(values), -1)
    return np.asarray(flat[:, 0] > limit, np.int64)


def _labels(labels: Array) -> Array:
    labels = np.asarray(labels, np.float64)
    if labels.ndim > 1 and labels.shape[-1] > 1:
        return np.where(labels.max(axis=-1) < 0, -1, np.argmax(labels, axis=-1))
    return labels.reshape(-1)
